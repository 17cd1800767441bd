//! SeaweedFS, started and ended by the sandbox, agrees with our signing.

use sandbox::SeaweedFs;

use crate::client::{Client, Sign, ask};

#[tokio::test]
async fn seaweedfs_takes_signed_requests_only_and_ends_with_its_owner() {
    let seaweedfs = SeaweedFs::start(&["photos"]).await.unwrap();
    let client = Client {
        endpoint: seaweedfs.endpoint(),
        sign: Sign::Aws4,
        access_id: SeaweedFs::ACCESS_ID.to_owned(),
        secret: SeaweedFs::SECRET.to_owned(),
        authority: None,
    };
    assert_eq!(client.send(ask("PUT", "/photos/a/b").body("hello")).await.status, 200);
    assert_eq!(client.send(ask("GET", "/photos/a/b")).await.text(), "hello");
    let wrong = Client { secret: "wrong".to_owned(), ..client.clone() };
    assert_eq!(wrong.send(ask("GET", "/photos/a/b")).await.status, 403);
    let address = seaweedfs.address();
    drop(seaweedfs);
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}
