//! `convert`: what it prints is read back by `check` and by itself.

use std::fs;

use crate::{run, run_with_stdin};

const FLOW: &str = "\
# Alarms of the presses.
apiVersion: connectivity.iotoperations.azure.com/v1
kind: Dataflow
metadata:
  name: press-alarms
  namespace: azure-iot-operations
spec:
  profileRef: fast
  operations:
    - operationType: Source
      sourceSettings:
        endpointRef: default
        dataSources:
          - press/+/force # kN
    - operationType: Destination
      destinationSettings:
        endpointRef: default
        dataDestination: alarms
";

const SECRET: &str = "\
---
apiVersion: v1
kind: Secret
metadata: { name: keys }
stringData: { password: hunter2 }
";

#[test]
fn a_file_goes_through_every_form_and_comes_back_as_it_was() {
    let mut text = FLOW.to_owned();
    for form in ["bicep", "yaml", "bicep", "yaml"] {
        let said = run_with_stdin(&["convert", "-", "--to", form], &text);
        assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""));
        let checked = run_with_stdin(&["check", "-"], &said.stdout);
        assert_eq!(checked.code, Some(0), "{}", checked.stdout);
        text = said.stdout;
    }
    assert_eq!(text, FLOW);
    let arm = run_with_stdin(&["convert", "-f", "-", "-o", "arm"], FLOW);
    assert_eq!(
        (arm.code, arm.stderr.as_str()),
        (Some(0), "note: an ARM template has no comments: those of the files are not in it\n")
    );
    let back = run_with_stdin(&["convert", "-", "--to", "yaml"], &arm.stdout);
    assert_eq!(back.stdout, FLOW.replace("# Alarms of the presses.\n", "").replace(" # kN", ""));
}

#[test]
fn config_files_say_kind_profile_and_name_by_their_paths() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().to_str().unwrap();
    let profile = "---\napiVersion: connectivity.iotoperations.azure.com/v1\nkind: DataflowProfile\nmetadata:\n  \
                   name: fast\n  namespace: azure-iot-operations\nspec: {}\n";
    let both = format!("{FLOW}{profile}");
    let said = run_with_stdin(&["convert", "-", "--to", "cli"], &both);
    assert_eq!((said.code, said.stdout.as_str()), (Some(2), ""));
    assert!(
        said.stderr.ends_with("error: these are 2 files: say with --out-dir where they go\n"),
        "{}",
        said.stderr
    );
    let said = run_with_stdin(&["convert", "-", "--to", "cli", "--out-dir", out], &both);
    assert_eq!((said.code, said.stdout.as_str()), (Some(0), ""), "{}", said.stderr);
    let path = folder.path().join("dataflowProfiles/fast/dataflows/press-alarms.json");
    assert!(said.stderr.contains(&format!("wrote {}\n", path.display())), "{}", said.stderr);
    assert!(fs::read_to_string(&path).unwrap().starts_with("{\n  \"operations\": ["));
    let back = run(&["convert", out, "--to", "yaml"]);
    let lines = |text: &str| {
        let mut documents: Vec<_> = text.split("---\n").map(str::to_owned).collect();
        documents.sort();
        documents
    };
    let uncommented = both.replace("# Alarms of the presses.\n", "").replace(" # kN", "");
    assert_eq!(lines(&back.stdout), lines(&uncommented), "{}", back.stderr);
    let again = run(&["convert", out, "--to", "cli", "--out-dir", out]);
    assert_eq!(again.code, Some(2));
    assert!(again.stderr.contains("File exists"), "{}", again.stderr);
}

#[test]
fn what_would_be_lost_stops_it_unless_that_is_wanted() {
    let text = format!("{FLOW}{SECRET}");
    let said = run_with_stdin(&["convert", "-", "--to", "bicep"], &text);
    assert_eq!((said.code, said.stdout.as_str()), (Some(1), ""));
    assert_eq!(
        said.stderr,
        "error: Secret/keys: the values of a Secret are never written: keep its file\nnothing was written; with \
         --partial all else is\n"
    );
    let said = run_with_stdin(&["convert", "-", "--to", "yaml", "--partial"], &text);
    assert_eq!((said.code, said.stdout.as_str()), (Some(0), FLOW));
    assert!(!said.stderr.contains("hunter2"));
    let said = run_with_stdin(&["convert", "-", "--to", "bicep"], &FLOW.replace("dataSources", "dataSource"));
    assert_eq!((said.code, said.stdout.as_str()), (Some(1), ""));
    assert!(said.stderr.contains("--> <stdin>:13:9"), "{}", said.stderr);
    let said = run(&["convert", "--to", "bicep"]);
    assert_eq!(said.code, Some(2));
    assert!(said.stderr.contains("which files? `tidegate convert PATH... --to FORM`"), "{}", said.stderr);
}
