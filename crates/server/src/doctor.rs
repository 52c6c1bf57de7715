//! What stands between this machine and its data flows: each thing tried once, and nothing left behind.
//!
//! Endpoints are tried as the API tries them (`Trial`): what a connector finds (certificates, credentials, rights, topics,
//! tables, folders) the doctor says.

use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tidegate_broker::{Broker, BrokerConfig};
use tidegate_connect::{Context, FlowIdentity, LocalBroker};
use tidegate_identity::{AmbientTokens, MetadataService, Surroundings, Tokens};
use tidegate_model::Catalog;
use tidegate_model::endpoint::{Authentication, Endpoint, EndpointType, MqttHost, Settings};
use tidegate_model::names::HostPort;
use tidegate_model::plan::{DataDestination, DataSources, DestinationSpec, Plan, Transform};
use tokio::net::TcpStream;

use crate::StorageOptions;
use crate::connectors::{Places, Trial};
use crate::credentials::Vault;

/// How long a whole conversation with an endpoint may take: more than any connector gives itself.
const ENDPOINT_MAX: Duration = Duration::from_secs(30);
/// How long a host may take to be found, and to accept a connection.
const REACH_MAX: Duration = Duration::from_secs(5);
/// Less room on disk is a trouble soon, and now.
const FREE_BYTES_LOW: u64 = 1 << 30;
const FREE_BYTES_MIN: u64 = 64 << 20;
/// A sync that takes longer makes every message on disk slow.
const SYNC_SLOW: Duration = Duration::from_millis(100);
/// No clock that is right shows an earlier time, in seconds of Unix: the start of 2026.
const CLOCK_MIN: u64 = 1_767_225_600;

/// What is looked at.
#[derive(Clone, Debug)]
pub struct Examination {
    /// `--data-dir`.
    pub data_dir: PathBuf,
    /// What `run` is to listen on.
    pub listen: Vec<SocketAddr>,
    /// The local broker, if it is another process, and whether it is reached with TLS.
    pub local_broker: Option<(HostPort, bool)>,
    /// Secrets as files.
    pub secrets_dir: Option<PathBuf>,
    /// Folders that stand for PersistentVolumeClaims, by name; any other is in `volumes` of the data directory.
    pub volumes: BTreeMap<String, PathBuf>,
}

/// How something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// As it should be.
    Fine,
    /// It works, and may not for long.
    Doubtful,
    /// It keeps data flows from running.
    Wrong,
}

impl Condition {
    /// As programs read it.
    pub fn as_str(self) -> &'static str {
        match self {
            Condition::Fine => "ok",
            Condition::Doubtful => "warning",
            Condition::Wrong => "failed",
        }
    }
}

/// What was found.
#[derive(Clone, Debug)]
pub struct Finding {
    /// What was looked at, such as `disk`, or `endpoint/hq` for an endpoint.
    pub subject: String,
    /// How it is.
    pub condition: Condition,
    /// A sentence; where something is wrong, with the mend.
    pub message: String,
}

/// Looks at everything, one after the other; says each thing as it is found.
pub async fn examine(what: &Examination, catalog: &Arc<Catalog>, tell: &mut (dyn FnMut(Finding) + Send)) {
    let mut say = |subject: &str, (condition, message): Verdict| {
        tell(Finding { subject: subject.to_owned(), condition, message });
    };
    let is_running = is_running(&what.data_dir);
    say("data directory", data_dir(&what.data_dir, is_running));
    say("disk", disk(&what.data_dir));
    say("clock", clock(SystemTime::now()));
    for address in &what.listen {
        say(&format!("port {address}"), port(*address, is_running));
    }
    let plans = catalog.plans();
    let surroundings = Surroundings::of_process();
    if let Some(verdict) = identities(&plans, &surroundings) {
        say("identities", verdict);
    }
    let context = Context {
        flow: FlowIdentity {
            namespace: String::new(),
            profile: "default".into(),
            // a client of its own, so that no data flow loses its session to it
            dataflow: format!("doctor-{}", std::process::id()),
            instance_index: 0,
            instance_count: 1,
        },
        request_disk_persistence: false,
        local_broker: match &what.local_broker {
            Some((address, tls)) => LocalBroker::Remote { address: address.clone(), tls: *tls },
            // nobody goes there: see `Probe::all`
            None => LocalBroker::Embedded(Broker::new(BrokerConfig::default())),
        },
        credentials: Arc::new(Vault::new(catalog.clone(), what.secrets_dir.clone())),
        tokens: Arc::new(AmbientTokens::new(surroundings)) as Arc<dyn Tokens>,
    };
    let storage = StorageOptions { volumes: what.volumes.clone(), ..StorageOptions::default() };
    let places = Places::below(&what.data_dir, storage);
    let mut reached = HashSet::new();
    for probe in Probe::all(&plans, what.local_broker.is_some()) {
        let endpoint = probe.endpoint;
        let subject = format!("endpoint/{}", endpoint.name);
        if let Some(address) = address(endpoint, what) {
            // of several topics behind one address, the first tells
            if reached.insert(address.clone()) {
                let verdict = reach(&address).await;
                let failed = verdict.0 == Condition::Wrong;
                say(&subject, verdict);
                if failed {
                    reached.remove(&address);
                    continue;
                }
            }
        }
        let flow = FlowIdentity { namespace: endpoint.namespace.clone(), ..context.flow.clone() };
        say(&subject, converse(probe, &Context { flow, ..context.clone() }, &places).await);
    }
}

type Verdict = (Condition, String);

fn fine(message: impl Into<String>) -> Verdict {
    (Condition::Fine, message.into())
}

fn doubtful(message: impl Into<String>) -> Verdict {
    (Condition::Doubtful, message.into())
}

fn wrong(message: impl Into<String>) -> Verdict {
    (Condition::Wrong, message.into())
}

/// Whether a tidegate has the data directory.
fn is_running(data_dir: &Path) -> bool {
    let lock = File::open(data_dir.join("instance.lock"));
    lock.is_ok_and(|lock| matches!(lock.try_lock(), Err(std::fs::TryLockError::WouldBlock)))
}

fn data_dir(path: &Path, is_running: bool) -> Verdict {
    let shown = path.display();
    let folder = existing(path);
    let state = match (folder == path, is_running) {
        (_, true) => "in use by the tidegate that runs",
        (true, false) => "not in use",
        (false, _) => "not there yet: `run` makes it",
    };
    match sync(&folder) {
        Ok(took) if took > SYNC_SLOW => doubtful(format!(
            "{shown} is {state}; a synced write takes {} ms there, which every message on disk waits for: use a \
             faster disk, or `--durability memory`",
            took.as_millis()
        )),
        Ok(took) => fine(format!("{shown} is {state}; a synced write takes {} ms", took.as_millis())),
        Err(error) => wrong(format!(
            "{} can't be written to ({error}): give this user the right to, or choose another with --data-dir",
            folder.display()
        )),
    }
}

/// The folder, or the nearest one above it that is there.
fn existing(path: &Path) -> PathBuf {
    let here = || PathBuf::from(".");
    path.ancestors().find(|p| p.is_dir()).map_or_else(here, Path::to_path_buf)
}

/// How long a write takes until it is on disk.
fn sync(folder: &Path) -> io::Result<Duration> {
    let path = folder.join(format!(".tidegate-doctor-{}", std::process::id()));
    let begin = Instant::now();
    let mut file = File::create_new(&path)?;
    let written = file.write_all(&[0; 4096]).and_then(|()| file.sync_all());
    let took = begin.elapsed();
    std::fs::remove_file(&path)?;
    written.map(|()| took)
}

fn disk(path: &Path) -> Verdict {
    let folder = existing(path);
    let stat = match rustix::fs::statvfs(&folder) {
        Ok(stat) => stat,
        Err(error) => return doubtful(format!("the free space can't be told: {}", io::Error::from(error))),
    };
    let free = stat.f_bavail.saturating_mul(stat.f_frsize);
    let said = format!("{} MiB are free", free >> 20);
    if free < FREE_BYTES_MIN {
        wrong(format!("{said}: make room, what is acknowledged has to be written first"))
    } else if free < FREE_BYTES_LOW {
        doubtful(format!("{said}, and one spool may take 1 GiB: make room, or lower --spool-bytes-max"))
    } else if stat.f_files > 0 && stat.f_favail < 1000 {
        doubtful(format!("{said}, but room for {} files only: remove some", stat.f_favail))
    } else {
        fine(said)
    }
}

fn clock(now: SystemTime) -> Verdict {
    let shown = humantime::format_rfc3339_seconds(now);
    let seconds = now.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |d| d.as_secs());
    if seconds < CLOCK_MIN {
        return wrong(format!(
            "it shows {shown}: set it, certificates and tokens are judged by it (`timedatectl set-ntp true`)"
        ));
    }
    fine(format!("it shows {shown}; more than a few minutes wrong, and certificates and tokens are refused"))
}

fn port(address: SocketAddr, is_running: bool) -> Verdict {
    match TcpListener::bind(address) {
        Ok(_) => fine("it is free"),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse && is_running => {
            fine("it is taken, as it should be while tidegate runs")
        }
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            wrong("another program has it: stop that, or choose another with --mqtt-listen or --http-listen")
        }
        Err(error) => wrong(format!("tidegate can't listen there: {error}")),
    }
}

/// Where tokens come from, if any endpoint wants some.
fn identities(plans: &[Arc<Plan>], surroundings: &Surroundings) -> Option<Verdict> {
    let ends = plans.iter().flat_map(|p| [&p.source.endpoint, &p.destination.endpoint]);
    // the local broker in this process asks for none
    let wanted: Vec<_> =
        ends.filter(|e| !e.is_local_broker()).filter_map(|e| authentication(&e.settings)).collect();
    let service_account = wanted.iter().any(|a| matches!(a, Authentication::ServiceAccountToken { .. }));
    let managed = wanted.iter().any(|a| {
        matches!(
            a,
            Authentication::SystemAssignedManagedIdentity { .. }
                | Authentication::UserAssignedManagedIdentity { .. }
        )
    });
    let file = &surroundings.service_account_token;
    if service_account && !file.is_file() {
        return Some(wrong(format!(
            "there is no service account token at {}: mount one, or use another authentication method",
            file.display()
        )));
    }
    if managed {
        let service = match &surroundings.metadata {
            MetadataService::AppService { url, .. } => format!("App Service at {url}"),
            MetadataService::Arc { url, .. } => format!("the agent of Azure Arc at {url}"),
            MetadataService::Imds { url, .. } => format!("the metadata service at {url}"),
        };
        let said = match &surroundings.workload {
            Some(workload) if workload.token_file.is_file() => {
                format!("workload identity, by {}; else {service}", workload.token_file.display())
            }
            Some(workload) => {
                return Some(wrong(format!(
                    "AZURE_FEDERATED_TOKEN_FILE names {}, which is not there: mount it, or unset the variable",
                    workload.token_file.display()
                )));
            }
            None => service,
        };
        return Some(fine(format!("tokens come from {said}")));
    }
    service_account.then(|| fine(format!("the service account token is at {}", file.display())))
}

fn authentication(of: &Settings) -> Option<&Authentication> {
    Some(match of {
        Settings::Mqtt(s) => &s.authentication,
        Settings::Kafka(s) => &s.authentication,
        Settings::DataLakeStorage(s) => &s.authentication,
        Settings::FabricOneLake(s) => &s.authentication,
        Settings::DataExplorer(s) => &s.authentication,
        Settings::OpenTelemetry(s) => &s.authentication,
        Settings::LocalStorage(_) => return None,
    })
}

/// What is to be opened at an endpoint.
struct Probe<'a> {
    endpoint: &'a Arc<Endpoint>,
    /// A source's filters are not opened: subscribing would take messages from the data flow.
    destination: Option<DataDestination>,
    transform: Option<&'a Transform>,
}

impl<'a> Probe<'a> {
    /// The endpoints of data flows, and what they want there, each once. Sources are opened as if they were destinations.
    fn all(plans: &'a [Arc<Plan>], with_local_broker: bool) -> Vec<Self> {
        let mut probes: Vec<Self> = Vec::new();
        let mut add = |probe: Self| {
            let here = probe.endpoint.is_local_broker() && !with_local_broker;
            let same = |p: &Self| {
                p.endpoint.name == probe.endpoint.name
                    && p.endpoint.namespace == probe.endpoint.namespace
                    && p.destination == probe.destination
            };
            if !here && !probes.iter().any(same) {
                probes.push(probe);
            }
        };
        for plan in plans {
            let endpoint = &plan.source.endpoint;
            match &plan.source.data_sources {
                DataSources::Mqtt { .. } => add(Self { endpoint, destination: None, transform: None }),
                DataSources::Kafka { topics, .. } => {
                    for topic in topics {
                        let destination = Some(DataDestination::Name(topic.clone()));
                        add(Self { endpoint, destination, transform: None });
                    }
                }
            }
            let DestinationSpec { endpoint, data_destination, .. } = &plan.destination;
            let destination = match data_destination {
                // only what is published to a topic shows that it may not be
                DataDestination::Topic(_) => None,
                name @ DataDestination::Name(_) => Some(name.clone()),
            };
            add(Self { endpoint, destination, transform: plan.transform.as_ref() });
        }
        probes
    }
}

/// Host and port, where they are known.
fn address(endpoint: &Endpoint, what: &Examination) -> Option<HostPort> {
    match &endpoint.settings {
        Settings::Mqtt(mqtt) => match &mqtt.host {
            MqttHost::Remote { address, .. } => Some(address.clone()),
            MqttHost::LocalBroker => what.local_broker.as_ref().map(|(address, _)| address.clone()),
        },
        Settings::Kafka(kafka) => Some(kafka.host.clone()),
        _ => None,
    }
}

/// Finds a host and connects to it, saying no word.
async fn reach(address: &HostPort) -> Verdict {
    let host = address.host();
    let found = tokio::time::timeout(REACH_MAX, tokio::net::lookup_host((host, address.port()))).await;
    let found: Vec<SocketAddr> = match found {
        Ok(Ok(found)) => found.collect(),
        Ok(Err(error)) => {
            return wrong(format!(
                "the host name `{host}` can't be resolved ({error}): check its spelling and this machine's DNS"
            ));
        }
        Err(_) => {
            return wrong(format!(
                "nobody resolves the host name `{host}`: check this machine's DNS servers"
            ));
        }
    };
    let mut last = None;
    for to in &found {
        let begin = Instant::now();
        match tokio::time::timeout(REACH_MAX, TcpStream::connect(to)).await {
            Ok(Ok(_)) => {
                return fine(format!(
                    "{address} is {}, and answers in {} ms",
                    to.ip(),
                    begin.elapsed().as_millis()
                ));
            }
            Ok(Err(error)) => last = Some(error),
            Err(_) => {}
        }
    }
    match last {
        Some(error) if error.kind() == io::ErrorKind::ConnectionRefused => wrong(format!(
            "{address} refuses the connection: check that the server runs, and listens on that port"
        )),
        Some(error) => wrong(format!("{address} can't be reached: {error}")),
        None => wrong(format!("{address} does not answer: check the address, and the firewalls on the way")),
    }
}

/// Opens what a data flow would open: TLS, credentials, rights, and the topic, table or folder.
async fn converse(probe: Probe<'_>, context: &Context, places: &Places) -> Verdict {
    let Probe { endpoint, destination, transform } = probe;
    let endpoint_type = endpoint.settings.endpoint_type();
    let kind = endpoint_type.as_str();
    if endpoint_type == EndpointType::OpenTelemetry {
        return doubtful(format!("this version does not run endpoints of type {kind} yet"));
    }
    let what = match &destination {
        Some(DataDestination::Name(name)) if endpoint_type.stores_files() => {
            format!(", `{name}` can be written")
        }
        Some(DataDestination::Name(name)) => format!(", `{name}` is there"),
        _ => String::new(),
    };
    let trial = Trial { endpoint: endpoint.clone(), destination, transform, context, places };
    match tokio::time::timeout(ENDPOINT_MAX, trial.run()).await {
        Ok(Ok(None)) => fine(format!("connected and let in ({kind}){what}")),
        Ok(Ok(Some(remark))) => doubtful(remark),
        Ok(Err(trouble)) => wrong(format!("{} [{}]", trouble.message, trouble.reason)),
        Err(_) => wrong(format!("no answer within {} s", ENDPOINT_MAX.as_secs())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_was_never_set_is_wrong() {
        assert_eq!(clock(SystemTime::UNIX_EPOCH).0, Condition::Wrong);
        assert_eq!(clock(SystemTime::now()).0, Condition::Fine);
    }

    #[test]
    fn a_folder_that_is_not_there_yet_is_tried_above() {
        let dir = tempfile::tempdir().unwrap();
        let (condition, said) = data_dir(&dir.path().join("a/b"), false);
        assert_ne!(condition, Condition::Wrong);
        assert!(said.contains("`run` makes it"), "{said}");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_port_that_is_taken_is_wrong_unless_tidegate_has_it() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        assert_eq!(port(address, false).0, Condition::Wrong);
        assert_eq!(port(address, true).0, Condition::Fine);
    }
}
