use ambo_testkit::store_suite::Subject;

use crate::servers::{cluster, store};

async fn subject() -> Subject {
    let cluster = cluster().await;
    Subject::new(store(&cluster.url()).await).with_its_own_clock().with(cluster)
}

ambo_testkit::store_suite!(subject);
