//! SeaweedFS, started and ended by the sandbox, agrees with our signing.

use sandbox::Weed;

use crate::client::{Client, Sign, ask};

#[tokio::test]
async fn seaweedfs_takes_signed_requests_only_and_ends_with_its_owner() {
    let weed = Weed::start(&["photos"]).await.unwrap();
    let client = Client {
        endpoint: weed.endpoint(),
        sign: Sign::Aws4,
        access_id: Weed::ACCESS_ID.to_owned(),
        secret: Weed::SECRET.to_owned(),
        authority: None,
    };
    assert_eq!(client.send(ask("PUT", "/photos/a/b").body("hello")).await.status, 200);
    assert_eq!(client.send(ask("GET", "/photos/a/b")).await.text(), "hello");
    let wrong = Client { secret: "wrong".to_owned(), ..client.clone() };
    assert_eq!(wrong.send(ask("GET", "/photos/a/b")).await.status, 403);
    let address = weed.address();
    drop(weed);
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}
