use std::path::Path;
use std::time::Duration;

use tidegate_identity::{AmbientTokens, Identity, MetadataService, Surroundings, Token, TokenError, Tokens};
use tidegate_testkit::{Authority, EntraId, Fault, Validity};

const HUB: &str = "https://plant.servicebus.windows.net";
const HOUR: Duration = Duration::from_secs(3600);

fn system() -> Identity {
    Identity::SystemAssigned { audience: HUB.into() }
}

fn user(client_id: &str) -> Identity {
    Identity::UserAssigned {
        client_id: client_id.into(),
        tenant_id: "tenant-1".into(),
        scope: format!("{HUB}/.default"),
    }
}

/// The tokens of a process with this environment; `keys` is where an Arc agent may point to.
fn tokens(environment: &[(&str, String)], keys: &Path) -> AmbientTokens {
    let find = |name: &str| environment.iter().find(|(n, _)| *n == name).map(|(_, v)| v.clone());
    let mut surroundings = Surroundings::read(find, false);
    if let MetadataService::Arc { keys: of_agent, .. } = &mut surroundings.metadata {
        keys.clone_into(of_agent);
    }
    AmbientTokens::new(surroundings)
}

async fn refused(tokens: &AmbientTokens, identity: &Identity) -> String {
    let Err(TokenError::Refused(why)) = tokens.token(identity).await else { panic!("only a change helps") };
    why
}

fn is_jwt(token: &Token) -> bool {
    token.value.expose().split(|b| *b == b'.').count() == 3
}

#[tokio::test]
async fn each_home_of_a_managed_identity_gives_tokens() {
    let entra = EntraId::start().await;
    entra.assign("client-1");
    for (environment, home) in
        [(entra.imds(), "imds"), (entra.arc(), "arc"), (entra.app_service(), "app-service")]
    {
        let tokens = tokens(&environment, entra.arc_keys());
        let token = tokens.token(&system()).await.unwrap();
        assert!(is_jwt(&token));
        // half of a day
        assert!(token.renew_after > 11 * HOUR && token.renew_after <= 12 * HOUR, "{:?}", token.renew_after);
        assert!(is_jwt(&tokens.token(&user("client-1")).await.unwrap()));
        let granted = entra.granted();
        assert_eq!(
            granted[granted.len() - 2..],
            [format!("{home} {HUB} -"), format!("{home} {HUB} client-1")]
        );
        assert!(refused(&tokens, &user("stranger")).await.contains("Identity not found"));
    }
}

#[tokio::test]
async fn a_federated_token_is_exchanged() {
    let entra = EntraId::start().await;
    entra.assign("client-1");
    entra.trust("federated.2");
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "federated.1\n").unwrap();
    let tokens = tokens(&entra.workload(file.path(), "client-1"), entra.arc_keys());
    let why = refused(&tokens, &user("client-1")).await;
    assert!(why.contains("AADSTS70021") && !why.contains("Trace"), "{why}");
    // the kubelet has put a new one there
    std::fs::write(file.path(), "federated.2\n").unwrap();
    assert!(is_jwt(&tokens.token(&user("client-1")).await.unwrap()));
    assert!(is_jwt(&tokens.token(&system()).await.unwrap()));
    assert_eq!(
        entra.granted(),
        [format!("entra {HUB}/.default client-1"), format!("entra {HUB}/.default client-1")]
    );
    assert!(refused(&tokens, &user("stranger")).await.contains("AADSTS700016"));
    let elsewhere = Identity::UserAssigned {
        client_id: "client-1".into(),
        tenant_id: "../evil".into(),
        scope: format!("{HUB}/.default"),
    };
    assert!(refused(&tokens, &elsewhere).await.contains("no tenant id"));
    std::fs::remove_file(file.path()).unwrap();
    let unknown_yet = Identity::SystemAssigned { audience: "https://storage.azure.com".into() };
    assert!(refused(&tokens, &unknown_yet).await.contains("AZURE_FEDERATED_TOKEN_FILE"));
}

#[tokio::test]
async fn entra_id_must_show_a_certificate_that_the_machine_trusts() {
    let authority = Authority::new("nobody's authority");
    let entra = EntraId::start_tls(&authority.server(&["localhost"], Validity::Now)).await;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "federated").unwrap();
    let tokens = tokens(&entra.workload(file.path(), "client-1"), entra.arc_keys());
    let Err(TokenError::Unavailable(why)) = tokens.token(&user("client-1")).await else {
        panic!("it is a stranger")
    };
    assert!(why.contains("UnknownIssuer"), "{why}");
    assert_eq!(entra.requests(), 0, "nothing was sent");
}

#[tokio::test(start_paused = true)]
async fn a_token_is_kept_and_renewed_early() {
    let entra = EntraId::start().await;
    entra.set_lifetime(HOUR);
    let tokens = tokens(&entra.imds(), entra.arc_keys());
    let first = tokens.token(&system()).await.unwrap();
    let system = system();
    let (again, other) = tokio::join!(tokens.token(&system), tokens.token(&system));
    assert_eq!((again.unwrap().value, other.unwrap().value), (first.value.clone(), first.value.clone()));
    assert_eq!(entra.requests(), 1);
    // five minutes before its end
    tokio::time::advance(first.renew_after).await;
    let second = tokens.token(&system).await.unwrap();
    assert_ne!(second.value, first.value);
    assert_eq!(entra.requests(), 2);
}

#[tokio::test(start_paused = true)]
async fn while_a_token_is_good_nobody_notices_that_its_service_is_down() {
    let entra = EntraId::start().await;
    entra.set_lifetime(HOUR);
    let tokens = tokens(&entra.imds(), entra.arc_keys());
    let first = tokens.token(&system()).await.unwrap();
    entra.set_fault(Some(Fault::Status(503, String::new())));
    tokio::time::advance(first.renew_after).await;
    let kept = tokens.token(&system()).await.unwrap();
    assert_eq!(kept.value, first.value);
    let asked = entra.requests();
    tokens.token(&system()).await.unwrap();
    assert_eq!(entra.requests(), asked, "it is asked again after a while, not each time");
    // it has ended
    tokio::time::advance(Duration::from_secs(300)).await;
    assert!(matches!(tokens.token(&system()).await, Err(TokenError::Unavailable(_))));
    entra.set_fault(None);
    assert_ne!(tokens.token(&system()).await.unwrap().value, first.value);
}

#[tokio::test]
async fn what_goes_wrong_at_a_service_is_sorted_by_what_helps() {
    let entra = EntraId::start().await;
    let tokens = tokens(&entra.imds(), entra.arc_keys());
    for fault in [
        Fault::Silence,
        Fault::Nonsense,
        Fault::Status(429, String::new()),
        Fault::Status(302, String::new()),
    ] {
        entra.set_fault(Some(fault.clone()));
        let result = tokens.token(&system()).await;
        assert!(
            matches!(&result, Err(TokenError::Unavailable(why)) if why.contains("Metadata Service")),
            "{fault:?}"
        );
    }
    entra.set_fault(Some(Fault::Status(403, "no <b>access</b>\nfor you".into())));
    assert!(refused(&tokens, &system()).await.contains("no <b>access</b>)"));
    entra.set_fault(None);
    tokens.token(&system()).await.unwrap();
}

#[tokio::test]
async fn an_arc_agent_points_to_its_own_key_files_only() {
    let entra = EntraId::start().await;
    let elsewhere = tempfile::tempdir().unwrap();
    let why = refused(&tokens(&entra.arc(), elsewhere.path()), &system()).await;
    assert!(why.contains("no key file in"), "{why}");
    assert!(entra.granted().is_empty());
}

#[tokio::test]
async fn where_nobody_answers_the_error_names_all_that_was_tried() {
    let nobody = format!("http://127.0.0.1:{}", tidegate_testkit::free_port());
    let configured = tokens(&[("AZURE_POD_IDENTITY_AUTHORITY_HOST", nobody.clone())], Path::new("/"));
    assert!(
        matches!(configured.token(&system()).await, Err(TokenError::Unavailable(why)) if why.contains(&nobody))
    );
    let mut surroundings = Surroundings::read(|_| None, false);
    surroundings.metadata = MetadataService::Imds { url: nobody.clone(), configured: false };
    let why = refused(&AmbientTokens::new(surroundings), &system()).await;
    for word in [&nobody, "Azure Arc", "IDENTITY_ENDPOINT", "AZURE_FEDERATED_TOKEN_FILE", "virtual machine"] {
        assert!(why.contains(word), "{why}");
    }
}
