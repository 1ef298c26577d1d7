//! The reference document is the table of keys.

#[test]
fn the_committed_reference_names_every_key_as_the_table_does() {
    let committed = include_str!("../../../docs/configuration.md");
    assert!(
        committed == exo_config::reference(),
        "run: cargo run -p exo-config --example reference > docs/configuration.md"
    );
}
