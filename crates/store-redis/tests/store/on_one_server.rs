use ambo_testkit::store_suite::Subject;

use crate::servers::{server, store};

async fn subject() -> Subject {
    let server = server().await;
    Subject::new(store(&server.url()).await).with_its_own_clock().with(server)
}

ambo_testkit::store_suite!(subject);
