//! Any text as a token: looking at it never panics, waits for nobody, and never believes it.
#![no_main]

use std::pin::pin;
use std::sync::LazyLock;
use std::task::{Context, Poll, Waker};

use ambo_app::ports::{Keys, Unidentified};
use ambo_core::{Millis, Token};
use ambo_identity::LocalIssuer;
use libfuzzer_sys::fuzz_target;

/// Its key is made anew for each run, so that no input can be signed with it.
static ISSUER: LazyLock<LocalIssuer> = LazyLock::new(|| {
    let folder = std::env::temp_dir().join(format!("ambo-fuzz-{}", std::process::id()));
    let issuer = LocalIssuer::open(&folder).unwrap();
    std::fs::remove_dir_all(folder).unwrap();
    issuer
});

/// A token that is good, to be cut apart by the input.
static GOOD: LazyLock<String> =
    LazyLock::new(|| ISSUER.issue("ann", Millis::from_mins(60), NOW).unwrap().0.to_string());

const NOW: Millis = Millis::from_mins(60);

// After a line with two numbers, the input stands in the place of that part of a good token.
fuzz_target!(|data: &str| {
    is_refused(data);
    let Some((span, put)) = data.split_once('\n') else { return };
    let mut numbers = span.split(' ').map_while(|number| number.parse::<usize>().ok());
    let (Some(from), Some(to)) = (numbers.next(), numbers.next()) else { return };
    let (Some(before), Some(after)) = (GOOD.get(..from), GOOD.get(to..)) else { return };
    let forged = format!("{before}{put}{after}");
    if forged != *GOOD {
        is_refused(&forged);
    }
});

fn is_refused(text: &str) {
    let token = Token(text.into());
    let mut identifying = pin!(ISSUER.identify(&token, NOW));
    match identifying.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Err(Unidentified::Refused(_))) => {}
        Poll::Ready(Err(other)) => panic!("{other}"),
        Poll::Ready(Ok(_)) => panic!("it was believed"),
        Poll::Pending => panic!("it waits"),
    }
}
