//! The disconnect function: sees connections go, as far as API Gateway says so, and sweeps.

use serde_json::Value;

use crate::context::Context;
use crate::event::{GatewayEvent, Kind};
use crate::respond;
use crate::settings::Handler;
use crate::sweep;

/// Answers `$disconnect`, which may come twice, late, never, or before `$connect` is done, and the
/// schedule's event.
pub(crate) async fn answer(context: &Context, event: Value) -> Value {
    if event["detail-type"] == "Scheduled Event" {
        sweep::run(context).await;
        return respond::done();
    }
    let event = GatewayEvent::new(event);
    let (Some(Kind::Disconnect), Some(connection)) = (event.kind(), event.connection()) else {
        return respond::unknown(Handler::Disconnect.as_str());
    };
    context.depart(connection, event.source(), event.departure()).await;
    context.settle().await;
    respond::done()
}
