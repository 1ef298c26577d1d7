//! Prints `docs/configuration.md`.

fn main() {
    print!("{}", exo_config::reference());
}
