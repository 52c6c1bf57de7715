//! MQTT topics as data flows use them: filters to subscribe with and templates to publish with.

use std::fmt;

use tidegate_expr::Host;

/// A topic filter (MQTT v5 section 4.7), perhaps shared (section 4.8.2).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TopicFilter {
    share_group: Option<String>,
    filter: String,
}

/// What is wrong with a filter or template, and where, in bytes of the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicError {
    /// One sentence, lower case.
    pub message: String,
    /// The bytes of the text it is about.
    pub range: std::ops::Range<usize>,
}

impl TopicFilter {
    /// Reads a filter; `$share/<group>/<filter>` and AIO's spelling `$shared/<group>/<filter>` are shared ones.
    ///
    /// # Errors
    /// [`TopicError`] for anything MQTT forbids.
    pub fn parse(text: &str) -> Result<Self, TopicError> {
        let fail = |range, message: &str| Err(TopicError { message: message.into(), range });
        let shared = text.strip_prefix("$shared/").or_else(|| text.strip_prefix("$share/"));
        let (share_group, filter) = match shared {
            Some(rest) => match rest.split_once('/') {
                Some((group, filter)) if !group.is_empty() && !group.contains(['+', '#']) => {
                    (Some(group.to_owned()), filter)
                }
                _ => {
                    return fail(
                        0..text.len(),
                        "a shared subscription is `$share/<group>/<filter>`, the group without + or #",
                    );
                }
            },
            None => (None, text),
        };
        let base = text.len() - filter.len();
        if filter.is_empty() {
            return fail(0..text.len(), "a topic filter has at least one character");
        }
        if filter.len() > u16::MAX.into() {
            return fail(0..text.len(), "a topic filter has at most 65535 bytes");
        }
        if let Some(i) = filter.find('\0') {
            return fail(base + i..base + i + 1, "a topic filter holds no U+0000");
        }
        let mut start = base;
        let mut levels = filter.split('/').peekable();
        while let Some(level) = levels.next() {
            let range = start..start + level.len();
            if level.contains('#') && (level != "#" || levels.peek().is_some()) {
                return fail(range, "`#` stands alone in the last level of a topic filter");
            }
            if level.contains('+') && level != "+" {
                return fail(range, "`+` stands alone in its level of a topic filter");
            }
            start = range.end + 1;
        }
        Ok(Self { share_group, filter: filter.to_owned() })
    }

    /// The group of a shared subscription.
    pub fn share_group(&self) -> Option<&str> {
        self.share_group.as_deref()
    }

    /// The filter, without any `$share/<group>/`.
    pub fn filter(&self) -> &str {
        &self.filter
    }

    /// The same filter shared in `group`, unless it already is shared. `group` holds no `/`, `+` or `#`.
    #[must_use]
    pub fn shared_in(&self, group: &str) -> Self {
        Self {
            share_group: Some(self.share_group.clone().unwrap_or_else(|| group.into())),
            filter: self.filter.clone(),
        }
    }
}

/// As it goes into a SUBSCRIBE packet: always `$share`, the spelling of MQTT v5.
impl fmt::Display for TopicFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.share_group {
            Some(group) => write!(f, "$share/{group}/{}", self.filter),
            None => f.write_str(&self.filter),
        }
    }
}

/// A destination topic: text with `${inputTopic}` and `${inputTopic.N}` in it, and in data flow graphs `${outputTopic}`
/// and `${outputTopic.N}`, the topic that a rule wrote to `$metadata.topic`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TopicTemplate {
    text: String,
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Part {
    Text(String),
    InputTopic,
    /// Counted from 1; a leading and a trailing slash of the topic don't count.
    InputTopicLevel(usize),
    OutputTopic,
    OutputTopicLevel(usize),
}

impl TopicTemplate {
    /// Reads a template. Other `${...}` are literal text, as `$`, `{` and `}` are legal in MQTT topics.
    ///
    /// # Errors
    /// [`TopicError`] for wildcards, U+0000, a bad `${inputTopic.N}`, and `${outputTopic}`, which only graphs know.
    pub fn parse(text: &str) -> Result<Self, TopicError> {
        Self::parse_in(Host::Dataflow, text)
    }

    /// The same, of a destination in a data flow graph.
    ///
    /// # Errors
    /// [`TopicError`] for wildcards, U+0000, and a bad `${inputTopic.N}` or `${outputTopic.N}`.
    pub fn parse_in_graph(text: &str) -> Result<Self, TopicError> {
        Self::parse_in(Host::Graph, text)
    }

    fn parse_in(host: Host, text: &str) -> Result<Self, TopicError> {
        let fail = |range, message: &str| Err(TopicError { message: message.into(), range });
        if text.is_empty() {
            return fail(0..0, "a topic has at least one character");
        }
        if text.len() > u16::MAX.into() {
            return fail(0..text.len(), "a topic has at most 65535 bytes");
        }
        if let Some(i) = text.find(['+', '#', '\0']) {
            return fail(i..i + 1, "a destination topic holds no wildcard and no U+0000");
        }
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut at = 0;
        while let Some(open) = text[at..].find("${").map(|i| at + i) {
            let Some(close) = text[open..].find('}').map(|i| open + i) else { break };
            let variable = &text[open + 2..close];
            let (name, level) = match variable.split_once('.') {
                Some((name, level)) => (name, Some(level)),
                None => (variable, None),
            };
            let known = matches!(name, "inputTopic" | "outputTopic");
            if name == "outputTopic" && host == Host::Dataflow {
                return fail(open..close + 1, "`${outputTopic}` exists in data flow graphs only");
            }
            let number = |level: &str| {
                level.parse().ok().filter(|n| *n >= 1 && level.bytes().all(|b| b.is_ascii_digit()))
            };
            let part = match (name, level.map(number)) {
                ("inputTopic", None) => Some(Part::InputTopic),
                ("inputTopic", Some(Some(n))) => Some(Part::InputTopicLevel(n)),
                ("outputTopic", None) => Some(Part::OutputTopic),
                ("outputTopic", Some(Some(n))) => Some(Part::OutputTopicLevel(n)),
                _ if known => {
                    let message = format!("`${{{name}.N}}` takes a level number from 1");
                    return fail(open..close + 1, &message);
                }
                _ => None,
            };
            literal.push_str(&text[at..open]);
            match part {
                Some(part) => {
                    if !literal.is_empty() {
                        parts.push(Part::Text(std::mem::take(&mut literal)));
                    }
                    parts.push(part);
                }
                None => literal.push_str(&text[open..=close]),
            }
            at = close + 1;
        }
        literal.push_str(&text[at..]);
        if !literal.is_empty() {
            parts.push(Part::Text(literal));
        }
        Ok(Self { text: text.to_owned(), parts })
    }

    /// The topic, if it holds no variable.
    pub fn as_static(&self) -> Option<&str> {
        match self.parts.as_slice() {
            [Part::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// The topic for a message that came on `input`; `None` if a variable can't be resolved, or the result is longer
    /// than MQTT allows.
    pub fn resolve(&self, input: &str) -> Option<String> {
        self.resolve_in_graph(input, None)
    }

    /// The same in a data flow graph, where a rule may have written a topic.
    pub fn resolve_in_graph(&self, input: &str, output: Option<&str>) -> Option<String> {
        let mut topic = String::with_capacity(self.text.len() + input.len());
        for part in &self.parts {
            topic.push_str(match part {
                Part::Text(text) => text,
                Part::InputTopic => input,
                Part::InputTopicLevel(n) => level(input, *n)?,
                Part::OutputTopic => output?,
                Part::OutputTopicLevel(n) => level(output?, *n)?,
            });
        }
        (!topic.is_empty() && topic.len() <= u16::MAX.into()).then_some(topic)
    }
}

/// The level of that number, from 1; slashes at both ends don't count.
fn level(topic: &str, n: usize) -> Option<&str> {
    let levels = topic.strip_prefix('/').unwrap_or(topic);
    let levels = levels.strip_suffix('/').unwrap_or(levels);
    levels.split('/').nth(n - 1)
}

/// As the user wrote it.
impl fmt::Display for TopicTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters() {
        for good in ["a", "a/b", "/", "+", "#", "a/+/b", "a/#", "$SYS/#", "$share/g/a/#", "a b/ü"] {
            assert_eq!(TopicFilter::parse(good).unwrap().to_string(), good);
        }
        let shared = TopicFilter::parse("$shared/g/a/+").unwrap();
        assert_eq!(
            (shared.share_group(), shared.filter(), shared.to_string()),
            (Some("g"), "a/+", "$share/g/a/+".into())
        );
        for (bad, range) in [
            ("", 0..0),
            ("a/#/b", 2..3),
            ("a#", 0..2),
            ("a/b+", 2..4),
            ("$share/g", 0..8),
            ("$share//a", 0..9),
            ("$share/g+/a", 0..11),
            ("a\0", 1..2),
            ("$share/g/", 0..9),
            ("$share/g/a/b#", 11..13),
        ] {
            assert_eq!(TopicFilter::parse(bad).unwrap_err().range, range, "{bad:?}");
        }
    }

    #[test]
    fn templates() {
        for (template, input, topic) in [
            ("a/b", "x", Some("a/b")),
            ("out/${inputTopic}", "x/y", Some("out/x/y")),
            ("out/${inputTopic.2}/z", "x/y", Some("out/y/z")),
            ("${inputTopic.1}", "/x/y/", Some("x")),
            ("${inputTopic.3}", "/x/y/", None),
            ("factory/$inputTopic.2", "x/y", Some("factory/$inputTopic.2")),
            ("a/${other}/${inputTopic.1}", "x", Some("a/${other}/x")),
            ("a/${open", "x", Some("a/${open")),
        ] {
            let parsed = TopicTemplate::parse(template).unwrap();
            assert_eq!(parsed.resolve(input).as_deref(), topic, "{template}");
            assert_eq!(parsed.to_string(), template);
        }
        for bad in [
            "",
            "a/+",
            "a/#",
            "${inputTopic.0}",
            "${inputTopic.x}",
            "${inputTopic.+1}",
            "${outputTopic}",
            "${outputTopic.1}",
        ] {
            assert!(TopicTemplate::parse(bad).is_err(), "{bad:?}");
        }
    }
    /// M05 and M09 of the language's cases.
    #[test]
    fn topics_that_a_rule_wrote() {
        for (template, output, topic) in [
            ("f/${outputTopic}", Some("alerts"), Some("f/alerts")),
            ("f/${outputTopic}", Some("history"), Some("f/history")),
            ("f/${outputTopic}", None, None),
            ("x/${outputTopic.2}", Some("region/west"), Some("x/west")),
            ("x/${outputTopic.1}", Some("/region/west/"), Some("x/region")),
            ("x/${outputTopic.3}", Some("region/west"), None),
            ("${inputTopic.1}/${outputTopic}", Some("b"), Some("plant/b")),
        ] {
            let parsed = TopicTemplate::parse_in_graph(template).unwrap();
            assert_eq!(parsed.resolve_in_graph("plant/a", output).as_deref(), topic, "{template}");
        }
        assert!(TopicTemplate::parse_in_graph("${outputTopic.0}").is_err());
    }
}
