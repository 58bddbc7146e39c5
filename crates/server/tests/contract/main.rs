//! Every sentence of the wire contract, over a real socket.

#[path = "../harness/mod.rs"]
mod harness;

use harness::World;
use serde_json::json;

#[tokio::test]
async fn a_speaker_creates_and_a_listener_joins() {
    let world = World::start(|_| {}).await;
    let mut speaking = world.speak().await;
    let mut listener = world.listen(&speaking.session, "es").await;
    let ended = speaking.peer.ask(json!({ "action": "endSession", "reason": "Amen" })).await;
    assert_eq!(ended["type"], "sessionEnded");
    assert_eq!(listener.json().await["message"], "Amen");
    assert_eq!(listener.closed().await.0, 1000);
    assert_eq!(speaking.peer.closed().await.0, 1000);
    world.until("nothing is left", |world| world.server.held().connections == 0).await;
    world.stop().await;
}
