//! Every rule a diagnostic can name, with the page that explains it.

use tidegate_core::Code;

macro_rules! codes {
    ($($(#[doc = $group:literal])* $NAME:ident $code:literal $title:literal;)*) => {
        $(
            #[doc = $title]
            pub const $NAME: Code = Code($code);
        )*

        /// Every code, in order.
        pub const ALL: &[Explanation] = &[$(Explanation {
            code: $NAME,
            title: $title,
            page: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/errors/", $code, ".md")),
        }),*];
    };
}

/// What a code means.
#[derive(Clone, Copy, Debug)]
pub struct Explanation {
    /// The code.
    pub code: Code,
    /// A few words.
    pub title: &'static str,
    /// A page of Markdown: what it means, an example of it, the same mended, and where the rule comes from.
    pub page: &'static str,
}

/// The explanation of a code such as `TG0110`; upper and lower case are the same.
pub fn explain(code: &str) -> Option<&'static Explanation> {
    ALL.iter().find(|e| e.code.0.eq_ignore_ascii_case(code))
}

codes! {
    /// Files
    YAML_SYNTAX "TG0001" "invalid YAML";
    JSON_SYNTAX "TG0002" "invalid JSON";
    JSON_EXTRAS "TG0003" "JSON with comments or trailing commas";
    DUPLICATE_KEY "TG0004" "key written twice";
    TOO_MUCH "TG0005" "too deep or too long";
    YAML_TAG "TG0006" "YAML tag ignored";
    NOT_READ_YET "TG0007" "not read yet";
    NO_RESOURCE "TG0008" "no resource in the file";

    /// Resources
    NOT_A_RESOURCE "TG0101" "not a resource";
    UNKNOWN_API_VERSION "TG0102" "no such kind or API version";
    PASSED_OVER "TG0103" "kind passed over";
    NOT_RUN_YET "TG0104" "kind not run yet";
    BAD_NAME "TG0105" "malformed name";
    DUPLICATE_RESOURCE "TG0106" "resource defined twice";

    /// Fields
    UNKNOWN_FIELD "TG0110" "unknown field";
    MISSING_FIELD "TG0111" "missing field";
    WRONG_TYPE "TG0112" "wrong type";
    UNKNOWN_VALUE "TG0113" "unknown value";
    OUT_OF_RANGE "TG0114" "number out of range";
    BAD_TEXT "TG0115" "text empty, too long or malformed";
    LEGACY "TG0116" "legacy spelling";
    PLACEHOLDER "TG0117" "placeholder not filled in";
    QUOTED_NUMBER "TG0118" "number in quotes";

    /// Endpoints
    SETTINGS_MISSING "TG0201" "settings of the endpoint's type missing";
    SETTINGS_OF_ANOTHER_TYPE "TG0202" "settings of another endpoint type";
    METHOD_NOT_OFFERED "TG0203" "authentication method not offered by the endpoint type";
    METHOD_SETTINGS_MISSING "TG0204" "settings of the authentication method missing";
    SEVERAL_METHOD_SETTINGS "TG0205" "settings of several authentication methods";
    BAD_CLOUD_HOST "TG0206" "host of another service";
    BAD_HOST "TG0207" "host is not `<host>:<port>`";
    PARTITION_KEY_MISSING "TG0208" "partition key property missing";
    CERTIFICATE_WITHOUT_TLS "TG0209" "client certificate without TLS";
    SERVICE_NEEDS_TLS "TG0210" "service that speaks TLS only";
    METHOD_REFUSED_BY_HOST "TG0211" "authentication method the host refuses";
    NO_EFFECT "TG0212" "setting without effect";

    /// Data flows
    OPERATION_COUNT "TG0301" "wrong number of operations";
    OPERATION_SETTINGS "TG0302" "settings that don't match the operation type";
    NO_DATA_SOURCE "TG0303" "no data source";
    BAD_TOPIC_FILTER "TG0304" "malformed topic filter";
    BAD_KAFKA_TOPIC "TG0305" "malformed Kafka topic";
    BAD_DESTINATION_TOPIC "TG0306" "malformed destination topic";
    STATIC_DESTINATION "TG0307" "variable in a static destination";
    HEADER_VALUE "TG0308" "header value missing or superfluous";
    RULE_SHAPE "TG0309" "rule of impossible shape";
    BAD_PATH "TG0311" "malformed path";
    BAD_EXPRESSION "TG0312" "malformed expression";
    BAD_DATASET "TG0314" "malformed dataset";
    BAD_SCHEMA_REF "TG0315" "malformed schema reference";
    PROFILE_NOT_NAMED "TG0316" "profile not named";
    LONG_PROFILE_NAME "TG0317" "long profile name";
    FILTER_IN_WORDS "TG0318" "what a filter does";
    BAD_FOLDER "TG0319" "folder outside the volume";

    /// How resources fit together
    UNKNOWN_ENDPOINT "TG0401" "unknown endpoint";
    UNKNOWN_PROFILE "TG0402" "unknown profile";
    UNKNOWN_SCHEMA "TG0403" "unknown schema";
    CREDENTIALS_NOT_GIVEN "TG0404" "Secret or ConfigMap not given";
    SECRET_KEY_MISSING "TG0405" "Secret without the key that is needed";
    NOT_A_SOURCE "TG0406" "endpoint that can't be a source";
    NO_CONSUMER_GROUP "TG0407" "Kafka source without consumer group";
    NO_LOCAL_BROKER "TG0408" "neither end is the local broker";
    SCHEMA_NEEDED "TG0409" "storage destination without schema";
    WRONG_FORMAT "TG0410" "format the destination doesn't take";
    WRONG_SCHEMA_FORMAT "TG0411" "schema of the wrong format";
    SHARED_EVENT_GRID "TG0412" "Event Grid source with several instances";
    MANY_DATAFLOWS "TG0413" "many data flows in a profile";
    DESTINATION_NOT_RUN_YET "TG0414" "destination not run yet";
    SERVICE_LIMIT "TG0415" "setting the service refuses";
    MAP_AND_SCHEMA "TG0416" "map and schema disagree";
    COLUMN_LEFT_EMPTY "TG0417" "column that may be left empty";
    NO_CONVERSION "TG0418" "value the column can't take";
    LOSSY_CONVERSION "TG0419" "value the column changes";
    NO_COLUMN "TG0420" "field without a column";

    /// Schemas, Secrets and the local broker
    BAD_SCHEMA "TG0501" "malformed schema";
    CONTENT_FILE "TG0502" "schema content missing";
    BAD_BASE64 "TG0503" "Secret value that is not base64";
    BAD_LISTENER "TG0504" "impossible listener";

    /// Test cases
    BAD_CASE "TG0601" "impossible test case";
    CASE_REFERENCE "TG0602" "test of something that is not there";

    /// Templates
    BICEP_SYNTAX "TG0701" "invalid Bicep";
    EXPRESSION_SYNTAX "TG0702" "invalid ARM expression";
    UNKNOWN_SYMBOL "TG0703" "name that nothing has";
    PARAMETER_MISSING "TG0704" "parameter without a value";
    PARAMETER_VALUE "TG0705" "value the parameter doesn't take";
    RUNTIME_VALUE "TG0706" "value only a deployment knows";
    NO_RESULT "TG0707" "expression without a result";
    TEMPLATE_FILE "TG0708" "file of a template missing";
}
