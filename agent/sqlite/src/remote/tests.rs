use std::os::unix::fs::PermissionsExt as _;

use super::*;
use crate::shared::SharedFile;
use crate::{OpenError, SqliteFile};

const SECOND: Duration = Duration::from_secs(1);

fn traits() -> QueueTraits {
    QueueTraits { visibility: SECOND * 60, retention: SECOND, max_receives: None, dead_letters: Some("dead".into()) }
}

/// The file of another process, as far as can be seen here: a second opener is refused.
fn served(path: &Path) -> (SqliteFile, tokio::task::JoinSet<()>) {
    let file = SqliteFile::open(path).expect("opened");
    let mut server = tokio::task::JoinSet::new();
    server.spawn(file.listen(path).expect("a socket").serve());
    (file, server)
}

#[tokio::test]
async fn whoever_has_the_file_open_is_asked_and_a_dead_ones_socket_is_replaced() {
    let dir = tempfile::tempdir().expect("a directory");
    // A path that no socket's address holds.
    let deep = dir.path().join("d".repeat(90)).join("e".repeat(30));
    std::fs::create_dir_all(&deep).expect("made");
    for path in [dir.path().join("state"), deep.join("state")] {
        let socket = socket::beside(&path);
        drop(socket::listen(&socket).expect("one that is left behind"));
        assert!(socket.exists() && RemoteFile::connect(&path).await.is_err());
        let (file, server) = served(&path);
        assert_eq!(std::fs::metadata(&socket).expect("there").permissions().mode() & 0o777, 0o600);
        let SharedFile::Elsewhere(remote) = SharedFile::open(&path).await.expect("asked") else {
            panic!("opened twice")
        };
        remote.queue("q", traits()).send(&["a".into()]).await.expect("sent");
        let queue = file.queue("q", traits()).await.expect("the same queue");
        assert_eq!(queue.depth().await.expect("asked").visible, 1);
        drop(server);
        drop(queue);
        let silent = SharedFile::open(&path).await.err().expect("nobody answers");
        assert!(
            matches!(silent, OpenError::Silent { .. }) && silent.to_string().contains("another process"),
            "{silent}"
        );
        drop(file);
        assert!(matches!(SharedFile::open(&path).await, Ok(SharedFile::Here(_))));
    }
}

#[tokio::test]
async fn a_receive_that_is_given_up_hides_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("state");
    let (file, _server) = served(&path);
    let own = file.queue("q", traits()).await.expect("a queue");
    let call = QueueCall::Receive { max: 1, wait: SECOND * 60 };
    let request = Request::Queue { name: "q".into(), traits: traits(), call };
    // One goes while it waits, one when it has the answer and has not confirmed it.
    for take in [false, true] {
        let mut stream = socket::connect(&socket::beside(&path)).await.expect("connected");
        wire::write(&mut stream, &request).await.expect("asked");
        if take {
            own.send(&["a".into()]).await.expect("sent");
            let answer: Result<Vec<Message>, Failure> = wire::read(&mut stream).await.expect("answered");
            assert_eq!(answer.expect("received").len(), 1);
        }
        drop(stream);
    }
    let message = own.receive(1, SECOND * 30).await.expect("received").remove(0);
    assert_eq!(message.received, 1, "what nobody confirmed was not delivered");
}

#[tokio::test]
async fn what_is_no_request_is_refused_with_the_version_and_does_no_harm() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("state");
    let (_file, _server) = served(&path);
    let mut stream = socket::connect(&socket::beside(&path)).await.expect("connected");
    wire::write(&mut stream, &"from a later version").await.expect("sent");
    let refused: Result<(), Failure> = wire::read(&mut stream).await.expect("answered");
    let text = refused.expect_err("refused").into_text();
    assert!(text.contains(skyferry_core::version::long()), "{text}");
    let mut stream = socket::connect(&socket::beside(&path)).await.expect("connected");
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await.expect("sent");
    assert!(wire::read::<Result<(), Failure>>(&mut stream).await.is_ok_and(|answer| answer.is_err()));
    RemoteFile::connect(&path).await.expect("it answers others");
}
