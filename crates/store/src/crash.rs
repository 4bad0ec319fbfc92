//! Crash points: named places where a test makes the program die at once, to see what is left.
//!
//! Compiled to nothing in release builds. In debug builds the environment variable `MINKANG_CRASH_AT` names a point
//! (`intake.linked`), optionally with the pass on which to die (`intake.linked:3`, counted from 1).

/// Dies here (SIGABRT, nothing is cleaned up) when the environment asks for it.
#[inline]
pub fn point(name: &str) {
    #[cfg(debug_assertions)]
    armed::pass(name);
    #[cfg(not(debug_assertions))]
    let _ = name;
}

#[cfg(debug_assertions)]
mod armed {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    struct Order {
        name: String,
        on_pass: u64,
        passes: AtomicU64,
    }

    fn order() -> Option<&'static Order> {
        static ORDER: OnceLock<Option<Order>> = OnceLock::new();
        ORDER.get_or_init(|| parse(&std::env::var("MINKANG_CRASH_AT").ok()?)).as_ref()
    }

    fn parse(text: &str) -> Option<Order> {
        let (name, on_pass) = match text.split_once(':') {
            Some((name, pass)) => (name, pass.parse().ok()?),
            None => (text, 1),
        };
        Some(Order { name: name.to_owned(), on_pass, passes: AtomicU64::new(0) })
    }

    pub(super) fn pass(name: &str) {
        let Some(order) = order().filter(|order| order.name == name) else { return };
        if order.passes.fetch_add(1, Ordering::SeqCst) + 1 == order.on_pass {
            std::process::abort();
        }
    }

    #[cfg(test)]
    mod tests {
        #[test]
        fn orders() {
            let order = |text| super::parse(text).map(|o| (o.name, o.on_pass));
            assert_eq!(order("intake.linked"), Some(("intake.linked".to_owned(), 1)));
            assert_eq!(order("intake.linked:3"), Some(("intake.linked".to_owned(), 3)));
            assert_eq!(order("intake.linked:x"), None);
        }
    }
}
