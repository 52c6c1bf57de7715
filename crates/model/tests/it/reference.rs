//! `docs/reference/fields.md` is what the declarations say. `TIDEGATE_UPDATE=1` writes it anew.

#[test]
fn the_reference_of_fields_is_up_to_date() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/fields.md");
    let printed = tidegate_model::reference::fields();
    if std::env::var_os("TIDEGATE_UPDATE").is_some() {
        std::fs::create_dir_all(std::path::Path::new(path).parent().unwrap()).unwrap();
        std::fs::write(path, &printed).unwrap();
    }
    let written = std::fs::read_to_string(path).unwrap_or_default();
    assert!(written == printed, "docs/reference/fields.md is stale: run this test with TIDEGATE_UPDATE=1");
}
