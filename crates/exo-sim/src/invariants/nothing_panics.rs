//! No code panics, whatever comes in.

use super::Holds;
use std::cell::RefCell;
use std::sync::Once;

pub(crate) const NAME: &str = "nothing panics";

thread_local! {
    /// What panicked on this thread, if it is one of a simulation.
    static PANICS: RefCell<Option<Vec<String>>> = const { RefCell::new(None) };
}

static HOOK: Once = Once::new();

/// From now on panics on this thread are kept instead of printed. Those of other threads are as before.
pub(crate) fn watch() {
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let kept = PANICS.with_borrow_mut(|panics| match panics {
                Some(panics) => {
                    panics.push(info.to_string());
                    true
                }
                None => false,
            });
            if !kept {
                before(info);
            }
        }));
    });
    PANICS.with_borrow_mut(|panics| *panics = Some(Vec::new()));
}

/// Whether none was seen since the last call.
pub(crate) fn check() -> Holds {
    let seen = PANICS.with_borrow_mut(|panics| panics.as_mut().map(std::mem::take));
    match seen.and_then(|seen| seen.into_iter().next()) {
        None => Ok(()),
        Some(first) => Err(first),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_kept_and_told_once() {
        std::thread::spawn(|| {
            watch();
            assert!(check().is_ok());
            let panicked = std::panic::catch_unwind(|| panic!("on purpose"));
            assert!(panicked.is_err());
            assert!(check().is_err_and(|told| told.contains("on purpose")));
            assert!(check().is_ok());
        })
        .join()
        .expect("the thread itself does not panic");
    }
}
