//! Topic names and topic filters (MQTT v5 section 4.7): what is valid, what matches what.

use std::fmt;

/// The longest topic name or filter in bytes, as MQTT counts strings with 16 bits.
pub const TOPIC_BYTES_MAX: usize = u16::MAX as usize;

/// What is wrong with a topic name or filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TopicError {
    /// MQTT-4.7.3-1.
    #[error("a topic has at least one character")]
    Empty,
    /// MQTT-4.7.3-3.
    #[error("a topic has at most 65535 bytes")]
    TooLong,
    /// MQTT-4.7.3-2.
    #[error("a topic holds no U+0000")]
    Nul,
    /// MQTT-3.3.2-2.
    #[error("a topic to publish to holds no wildcard")]
    WildcardInName,
    /// MQTT-4.7.1-1.
    #[error("`#` stands alone in the last level of a topic filter")]
    MultiLevelWildcard,
    /// MQTT-4.7.1-2.
    #[error("`+` stands alone in its level of a topic filter")]
    SingleLevelWildcard,
    /// MQTT-4.8.2-1 and MQTT-4.8.2-2.
    #[error("a shared subscription is `$share/<group>/<filter>`, the group without wildcards")]
    Share,
}

/// Whether one can publish to `name` (MQTT v5 sections 3.3.2.1 and 4.7.3).
///
/// # Errors
/// What is wrong with it.
pub fn check_name(name: &str) -> Result<(), TopicError> {
    check_length(name)?;
    match memchr::memchr3(0, b'+', b'#', name.as_bytes()).map(|at| name.as_bytes()[at]) {
        None => Ok(()),
        Some(0) => Err(TopicError::Nul),
        Some(_) => Err(TopicError::WildcardInName),
    }
}

/// Whether one can subscribe to `filter`, which may be a shared one (MQTT v5 sections 4.7 and 4.8.2).
///
/// # Errors
/// What is wrong with it.
pub fn check_filter(filter: &str) -> Result<(), TopicError> {
    check_length(filter)?;
    if filter.contains('\0') {
        return Err(TopicError::Nul);
    }
    let filter =
        if is_shared(filter) { Shared::parse(filter).ok_or(TopicError::Share)?.filter } else { filter };
    let mut levels = filter.split('/').peekable();
    while let Some(level) = levels.next() {
        if level.contains('#') && (level != "#" || levels.peek().is_some()) {
            return Err(TopicError::MultiLevelWildcard);
        }
        if level.contains('+') && level != "+" {
            return Err(TopicError::SingleLevelWildcard);
        }
    }
    Ok(())
}

fn check_length(topic: &str) -> Result<(), TopicError> {
    match topic.len() {
        0 => Err(TopicError::Empty),
        1..=TOPIC_BYTES_MAX => Ok(()),
        _ => Err(TopicError::TooLong),
    }
}

/// Whether `filter` asks for a shared subscription; it may still be a wrong one.
pub fn is_shared(filter: &str) -> bool {
    filter.starts_with("$share/")
}

/// Whether a valid filter holds a wildcard.
pub fn has_wildcard(filter: &str) -> bool {
    filter.contains(['+', '#'])
}

/// A shared subscription taken apart (MQTT v5 section 4.8.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Shared<'a> {
    /// The share name.
    pub group: &'a str,
    /// The filter that topics are matched with.
    pub filter: &'a str,
}

impl<'a> Shared<'a> {
    /// Takes `$share/<group>/<filter>` apart; none if `filter` is not of that form. Does not check the filter inside.
    pub fn parse(filter: &'a str) -> Option<Self> {
        let (group, filter) = filter.strip_prefix("$share/")?.split_once('/')?;
        (!group.is_empty() && !filter.is_empty() && !has_wildcard(group)).then_some(Self { group, filter })
    }
}

impl fmt::Display for Shared<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "$share/{}/{}", self.group, self.filter)
    }
}

/// Whether a valid topic name matches a valid filter, which is not of the form `$share/...` (MQTT v5 section 4.7).
/// A filter that starts with a wildcard does not match topics that start with `$` (MQTT-4.7.2-1).
pub fn matches(filter: &str, name: &str) -> bool {
    if name.starts_with('$') && filter.starts_with(['+', '#']) {
        return false;
    }
    let mut names = name.split('/');
    for level in filter.split('/') {
        match (level, names.next()) {
            // `a/#` matches `a` too: the levels below may be none.
            ("#", _) => return true,
            ("+", Some(_)) => {}
            (level, Some(name)) if level == name => {}
            _ => return false,
        }
    }
    names.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_not_empty_and_hold_no_wildcard_and_no_nul() {
        for name in ["a", "/", "a/b", "a//b", "$SYS/x", "ä b/\u{1F600}", &"x".repeat(TOPIC_BYTES_MAX)] {
            assert_eq!(check_name(name), Ok(()), "{name}");
        }
        assert_eq!(check_name(""), Err(TopicError::Empty));
        assert_eq!(check_name(&"x".repeat(TOPIC_BYTES_MAX + 1)), Err(TopicError::TooLong));
        assert_eq!(check_name("a/\0"), Err(TopicError::Nul));
        assert_eq!(check_name("a/+/b"), Err(TopicError::WildcardInName));
        assert_eq!(check_name("a#"), Err(TopicError::WildcardInName));
    }

    #[test]
    fn filters_hold_wildcards_only_as_whole_levels() {
        for filter in
            ["#", "+", "a/+/b", "a/#", "+/+/#", "/", "//", "$share/g/a/#", "$share/g//", "$shared/x"]
        {
            assert_eq!(check_filter(filter), Ok(()), "{filter}");
        }
        for (filter, error) in [
            ("", TopicError::Empty),
            ("a\0", TopicError::Nul),
            ("a/#/b", TopicError::MultiLevelWildcard),
            ("a#", TopicError::MultiLevelWildcard),
            ("##", TopicError::MultiLevelWildcard),
            ("a+/b", TopicError::SingleLevelWildcard),
            ("++", TopicError::SingleLevelWildcard),
            ("$share/", TopicError::Share),
            ("$share/g", TopicError::Share),
            ("$share/g/", TopicError::Share),
            ("$share//a", TopicError::Share),
            ("$share/g+/a", TopicError::Share),
            ("$share/g/a#", TopicError::MultiLevelWildcard),
        ] {
            assert_eq!(check_filter(filter), Err(error), "{filter}");
        }
    }

    #[test]
    fn shared_filters_come_apart() {
        assert_eq!(Shared::parse("$share/g/a/b"), Some(Shared { group: "g", filter: "a/b" }));
        assert_eq!(Shared::parse("a/b"), None);
        assert_eq!(Shared { group: "g", filter: "/a" }.to_string(), "$share/g//a");
    }

    #[test]
    fn filters_match_as_the_examples_of_section_4_7() {
        for (filter, name, expected) in [
            ("sport/tennis/player1/#", "sport/tennis/player1", true),
            ("sport/tennis/player1/#", "sport/tennis/player1/ranking", true),
            ("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", true),
            ("sport/#", "sport", true),
            ("#", "a/b", true),
            ("sport/tennis/+", "sport/tennis/player1", true),
            ("sport/tennis/+", "sport/tennis/player1/ranking", false),
            ("sport/+", "sport", false),
            ("sport/+", "sport/", true),
            ("+/+", "/finance", true),
            ("/+", "/finance", true),
            ("+", "/finance", false),
            ("#", "$SYS/x", false),
            ("+/monitor/Clients", "$SYS/monitor/Clients", false),
            ("$SYS/#", "$SYS/x", true),
            ("$SYS/monitor/+", "$SYS/monitor/Clients", true),
            ("ACCOUNTS", "Accounts", false),
            ("a", "a/", false),
            ("a/", "a", false),
            ("a/b", "a/b/c", false),
        ] {
            assert_eq!(matches(filter, name), expected, "{filter} {name}");
        }
    }
}
