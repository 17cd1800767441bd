//! `rclone serve s3` answers three things unlike S3 itself; the tests that use it rest on that.

use sandbox::Rclone;

use crate::client::{Client, Sign, ask};

#[tokio::test]
async fn rclone_answers_a_range_with_200_and_a_complete_with_another_etag_and_ends_with_its_owner() {
    let rclone = Rclone::start().await.unwrap();
    rclone.create_bucket("photos").await.unwrap();
    let client = Client {
        endpoint: rclone.endpoint(),
        sign: Sign::Aws4,
        access_id: Rclone::ACCESS_ID.to_owned(),
        secret: Rclone::SECRET.to_owned(),
        authority: None,
    };
    assert_eq!(client.send(ask("GET", "/photos?uploads=")).await.status, 404, "no uploads are no listing");
    assert_eq!(client.send(ask("PUT", "/photos/a/b").body("hello")).await.status, 200);
    assert_eq!(std::fs::read(rclone.file("photos", "a/b")).unwrap(), b"hello");
    let range = client.send(ask("GET", "/photos/a/b").header("range", "bytes=1-3")).await;
    assert_eq!((range.status, range.header("content-range"), range.text()), (200, "bytes 1-3/5".into(), "ell".into()));

    let begun = client.send(ask("POST", "/photos/parts?uploads=")).await;
    let id = begun.element("UploadId");
    let part = client.send(ask("PUT", &format!("/photos/parts?partNumber=1&uploadId={id}")).body("hello")).await;
    let list = format!("<Part><PartNumber>1</PartNumber><ETag>{}</ETag></Part>", part.header("etag"));
    let list = format!("<CompleteMultipartUpload>{list}</CompleteMultipartUpload>");
    let completed = client.send(ask("POST", &format!("/photos/parts?uploadId={id}")).body(list)).await;
    assert!(completed.element("ETag").contains("-1"), "{}", completed.text());
    let look = client.send(ask("HEAD", "/photos/parts")).await;
    assert_eq!(look.header("etag"), "\"5d41402abc4b2a76b9719d911017c592\"");

    let wrong = Client { secret: "wrong".to_owned(), ..client.clone() };
    assert_eq!(wrong.send(ask("GET", "/photos/a/b")).await.status, 403);
    let address = rclone.endpoint().replace("http://", "");
    drop(rclone);
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}
