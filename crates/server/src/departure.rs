//! How a connection that is gone leaves the store, however long that takes.

use ambo_core::event::{Departure, Via};
use ambo_core::{Arrival, ConnectionId, Event, SourceAddress};

use crate::node::Node;

/// Departures that wait for a store to come back. More than connections can be open; what is
/// beyond it is taken out when its session ends.
const MAX_WAITING: usize = 100_000;

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
/// still does not take; that one is the last the next time.
pub(crate) async fn tell_waiting(node: &Node) {
    let mut waiting = std::mem::take(&mut *node.departures.lock()).into_iter();
    let mut refused = None;
    while refused.is_none()
        && let Some(arrival) = waiting.next()
    {
        refused = tell(node, arrival).await.err();
    }
    waiting.chain(refused).for_each(|arrival| wait(node, arrival));
}

/// Gives the departure back if the store does not take it.
async fn tell(node: &Node, arrival: Arrival) -> Result<(), Arrival> {
    let outcome = node.app.handle(&arrival).await;
    if outcome.answer.is_err() {
        return Err(arrival);
    }
    node.app.notify(&outcome.notices, node.clock.now()).await;
    Ok(())
}

fn wait(node: &Node, arrival: Arrival) {
    let mut departures = node.departures.lock();
    if departures.len() < MAX_WAITING {
        departures.push(arrival);
    }
}
