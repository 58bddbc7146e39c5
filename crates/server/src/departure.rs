//! How a connection that is gone leaves the store, however long that takes.

use ambo_core::event::{Departure, Via};
use ambo_core::{Arrival, ConnectionId, Event, Refusal, SourceAddress};
use futures_util::future::join_all;

use crate::node::Node;

/// Departures that wait for a store to come back. More than connections can be open; what is
/// beyond it is taken out when its session ends.
const MAX_WAITING: usize = 100_000;

/// Departures told at the same time when it is back: thousands are told within a second or two,
/// across a network too.
const AT_ONCE: usize = 64;

/// The departure of a connection, for the rules.
pub(crate) fn departure(
    node: &Node,
    id: &ConnectionId,
    source: SourceAddress,
    how: Departure,
) -> Arrival {
    Arrival {
        connection: id.clone(),
        source,
        via: Via::Server,
        token: None,
        intent: Ok(Event::Disconnect(how)),
        stamp: node.clock.stamp(),
    }
}

/// Tells the rules that a connection is gone; if the store does not take it, the timers try again.
pub(crate) async fn tell_departure(node: &Node, arrival: Arrival) {
    if let Err(arrival) = tell(node, arrival).await {
        wait(node, arrival);
    }
}

/// A store that failed may have made the change all the same. The connection is not there, so it
/// has left; where it never was a member that changes nothing.
pub(crate) fn take_back(node: &Node, arrival: &Arrival) {
    let how = match arrival.intent {
        Ok(Event::Create { .. }) => Departure::Clean,
        _ => Departure::Lost,
    };
    wait(node, departure(node, &arrival.connection, arrival.source, how));
}

/// Tells the departures that the store did not take when they happened, up to the first that it
/// still does not take; those that it does not are the last the next time.
pub(crate) async fn tell_waiting(node: &Node) {
    let mut waiting = std::mem::take(&mut *node.departures.lock()).into_iter();
    // The first one alone, to see whether the store takes any.
    let (mut refused, mut some) = (Vec::new(), 1);
    while refused.is_empty() && !waiting.as_slice().is_empty() {
        let telling = waiting.by_ref().take(some).map(|arrival| tell(node, arrival));
        refused.extend(join_all(telling).await.into_iter().filter_map(Result::err));
        some = AT_ONCE;
    }
    waiting.chain(refused).for_each(|arrival| wait(node, arrival));
}

/// Gives the departure back if the store does not take it.
async fn tell(node: &Node, arrival: Arrival) -> Result<(), Arrival> {
    try_departure(node, &arrival).await.map_err(|_| arrival)
}

/// Tells the rules that a connection is gone, if the store takes that now.
pub(crate) async fn try_departure(node: &Node, arrival: &Arrival) -> Result<(), Refusal> {
    let outcome = node.app.handle(arrival).await;
    outcome.answer?;
    node.app.notify(&outcome.notices, node.clock.now()).await;
    Ok(())
}

fn wait(node: &Node, arrival: Arrival) {
    let mut departures = node.departures.lock();
    if departures.len() < MAX_WAITING {
        departures.push(arrival);
    }
}
