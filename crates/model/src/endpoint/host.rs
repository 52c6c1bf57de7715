//! Hosts: `<host>:<port>` of brokers, addresses of cloud services, and which service a host belongs to.

use crate::codes;
use crate::names::HostPort;
use crate::node::Text;
use crate::placeholder::{placeholder, unfilled};
use crate::problems::{Problems, error, warning};

/// Whether the host is an MQTT endpoint of Azure Event Grid.
pub(crate) fn is_event_grid(host: &str) -> bool {
    host.to_ascii_lowercase().ends_with(".ts.eventgrid.azure.net")
}

/// Whether the host is a Kafka endpoint of Azure Event Hubs, or of Fabric Real-Time Intelligence, which has the same.
pub(crate) fn is_event_hubs(host: &str) -> bool {
    host.to_ascii_lowercase().ends_with(".servicebus.windows.net")
}

/// Reads `<host>:<port>`. `example_port` is for the help.
pub(super) fn host_port(
    text: &Text,
    written: &str,
    example_port: u16,
    problems: &mut Problems,
) -> Option<HostPort> {
    if let Some(parsed) = HostPort::parse(written) {
        return Some(parsed);
    }
    let problem = if placeholder(written).is_some() {
        unfilled(written, text.span())
    } else {
        let problem = error(codes::BAD_HOST, text.span(), format!("`{written}` is not `<host>:<port>`"));
        if let Some((scheme, rest)) = written.split_once("://") {
            problem.help(format!("leave out `{scheme}://`: write `{rest}`"))
        } else if !written.contains(':') && HostPort::parse(&format!("{written}:1")).is_some() {
            problem.help(format!("add the port, such as `{written}:{example_port}`"))
        } else {
            problem
        }
    };
    problems.push(problem);
    None
}

/// Reads the address of a cloud service, with or without `https://`: the host must end in one of `domains` after at
/// least `labels` names.
pub(super) fn cloud_host(
    text: &Text,
    (labels, domains): (usize, &[&str]),
    example: &str,
    any_host: bool,
    problems: &mut Problems,
) -> Option<String> {
    let written = text.as_str();
    let address = written.trim_end_matches('/');
    let plain = address.strip_prefix("http://");
    let host = address.strip_prefix("https://").or(plain).unwrap_or(address);
    if any_host && !host.is_empty() {
        // An emulator may speak plain HTTP, so that much of the address stays.
        return Some(if plain.is_some() { address } else { host }.to_owned());
    }
    if placeholder(written).is_some() {
        problems.push(unfilled(written, text.span()));
        return None;
    }
    let names = domains.iter().find_map(|d| host.strip_suffix(d)?.strip_suffix('.'));
    let ok = names.is_some_and(|names| {
        names.split('.').filter(|n| !n.is_empty()).count() >= labels
            && names.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.".contains(&b))
    });
    if !ok {
        let problem =
            error(codes::BAD_CLOUD_HOST, text.span(), format!("`{written}` is no host of this service"));
        problems.push(problem.help(format!(
            "write `{example}`; for an emulator put the annotation `{}: \"true\"` on the endpoint",
            crate::load::ANY_HOST
        )));
        return None;
    }
    if plain.is_some() {
        let problem = warning(codes::NO_EFFECT, text.span(), "this service is always reached by HTTPS");
        problems.push(problem.help(format!("write `https://{host}`")));
    }
    Some(host.to_owned())
}
