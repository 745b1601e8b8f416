//! The wire against a scripted session, by a client that speaks bytes.

mod hostile;
mod peers;

use super::login::tests::login7;
use super::{Fault, WireOptions};
use crate::value::Value;
use peers::*;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::net::TcpStream;

#[tokio::test]
async fn a_login_is_answered_by_its_tokens_and_a_wrong_password_by_18456() {
    let server = start(WireOptions::default()).await;
    let mut client = Client::new(TcpStream::connect(server.addr).await.unwrap());
    client.packet(0x12, 1, &[1, 0, 6, 0, 1, 0xFF, 2]).await;
    let prelogin = client.message().await.unwrap();
    assert_eq!(prelogin[prelogin.len() - 3], 2, "no encryption offered");
    let features: [(u8, &[u8]); 2] = [(10, &[]), (1, &[])];
    client
        .send(0x10, &login7("sa", "secret", "db", &features))
        .await;
    let answer = client.message().await.unwrap();
    // ENVCHANGE 4, always; FEATUREEXTACK for UTF-8 and not for session recovery.
    let size = [&[4, 4], &utf16("8000")[..], &[4], &utf16("4096")[..]].concat();
    assert!(answer.windows(size.len()).any(|w| w == size));
    assert!(
        answer
            .windows(8)
            .any(|w| w == [0xAE, 10, 1, 0, 0, 0, 1, 0xFF])
    );

    let mut wrong = Client::new(TcpStream::connect(server.addr).await.unwrap());
    wrong.send(0x10, &login7("sa", "guess", "db", &[])).await;
    let answer = wrong.message().await.unwrap();
    assert_eq!(error_number(&answer), 18456);
    assert_eq!(wrong.message().await, None);
    server.stop().await;
}

#[tokio::test]
async fn utf8_text_is_sent_as_it_is_only_to_those_who_asked() {
    let server = start(WireOptions::default()).await;
    let features: [(u8, &[u8]); 1] = [(10, &[])];
    for (features, row) in [
        (&features[..], [0xD1, 2, 0, 0xC3, 0xA9]),
        (&[], [0xD1, 2, 0, 0xE9, 0]),
    ] {
        let mut client = Client::new(TcpStream::connect(server.addr).await.unwrap());
        client
            .send(0x10, &login7("sa", "secret", "db", features))
            .await;
        client.message().await.unwrap();
        let answer = client.ask("utf8").await;
        let ty = if features.is_empty() { 0xE7 } else { 0xA7 };
        assert_eq!(answer[9], ty);
        assert!(answer.windows(5).any(|w| w == row), "{answer:02X?}");
    }
    server.stop().await;
}

#[tokio::test]
async fn rows_stream_in_packets_and_end_with_their_count() {
    let server = start(WireOptions::default()).await;
    let mut client = server.login().await;
    let answer = client.ask("rows 100000").await;
    assert_eq!(last_done(&answer), (0x10, 100_000));
    let rows = answer
        .windows(5)
        .filter(|w| w[0] == 0xD1 && w[1] == 4)
        .count();
    assert!(rows >= 100_000);
    assert_eq!(error_number(&client.ask("nonsense").await), 102);
    // An error has one DONE of its own, which says that it was one.
    let answer = client.ask("nonsense").await;
    let error = 3 + usize::from(u16::from_le_bytes([answer[1], answer[2]]));
    assert_eq!((last_done(&answer), answer.len()), ((2, 0), error + 13));
    let log = server.stop().await;
    assert_eq!(log.closed.load(Ordering::Acquire), 1);
}

#[tokio::test]
async fn attention_stops_a_request_and_is_acknowledged_alone() {
    let server = start(WireOptions::default()).await;
    let mut client = server.login().await;
    for sql in ["sleep", "endless"] {
        client.batch(sql).await;
        tokio::time::sleep(Duration::from_millis(30)).await;
        client.packet(6, 1, &[]).await;
        client.message().await.unwrap();
        let acknowledged = client.message().await.unwrap();
        assert_eq!(last_done(&acknowledged), (0x20, 0));
    }
    assert_eq!(last_done(&client.ask("rows 3").await), (0x10, 3));
    // In the middle of a request that is still being sent, and out of the blue.
    client.packet(1, 0, &with_headers(&utf16("rows"))).await;
    client.packet(6, 1, &[]).await;
    assert_eq!(last_done(&client.message().await.unwrap()).0, 0x20);
    client.packet(6, 1, &[]).await;
    assert_eq!(last_done(&client.message().await.unwrap()).0, 0x20);
    // The ignore bit: the request does not run.
    client.packet(1, 0, &with_headers(&utf16("rows"))).await;
    client.packet(1, 3, &utf16(" 5")).await;
    assert_eq!(last_done(&client.message().await.unwrap()), (2, 0));
    let log = server.stop().await;
    assert!(
        !log.executed
            .lock()
            .unwrap()
            .iter()
            .any(|sql| sql == "rows 5")
    );
}

#[tokio::test]
async fn a_client_that_does_not_read_holds_the_scan_back_and_leaving_ends_it() {
    let server = start(WireOptions::default()).await;
    let mut client = server.login().await;
    client.batch("endless").await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    drop(client);
    server.closed(1).await;
    let mut waiting = server.login().await;
    waiting.batch("sleep").await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    drop(waiting);
    server.closed(2).await;
    server.stop().await;
}

#[tokio::test]
async fn calls_pass_parameters_and_give_back_outputs_and_handles() {
    let server = start(WireOptions::default()).await;
    let mut client = server.login().await;
    let executesql = [
        text_param("", "select @a"),
        text_param("", "@a int"),
        int_param(1, Some(5)),
    ]
    .concat();
    client.send(3, &rpc(10, &executesql)).await;
    let answer = client.message().await.unwrap();
    assert_eq!(last_done(&answer), (0, 0));
    let status_then_value = [0x79, 0, 0, 0, 0, 0xAC];
    assert!(
        answer.windows(6).any(|w| w == status_then_value),
        "{answer:02X?}"
    );

    let prepexec = [
        int_param(1, None),
        text_param("", "@a int"),
        text_param("", "update"),
        int_param(0, Some(9)),
    ]
    .concat();
    client.send(3, &rpc(13, &prepexec)).await;
    client.message().await.unwrap();
    // Two calls in one message: the prepared statement by its handle 1, and its end.
    let mut both = rpc(
        12,
        &[int_param(0, Some(1)), int_param(0, Some(10))].concat(),
    );
    both.push(0xFF);
    both.extend([0xFF, 0xFF, 15, 0, 0, 0]);
    both.extend(int_param(0, Some(1)));
    client.send(3, &both).await;
    let answer = client.message().await.unwrap();
    let ends = answer
        .windows(3)
        .filter(|w| w[0] == 0xFE && w[2] == 0)
        .count();
    assert_eq!((ends, last_done(&answer)), (2, (0, 0)));
    // It is gone now.
    client.send(3, &rpc(12, &int_param(0, Some(1)))).await;
    assert_eq!(error_number(&client.message().await.unwrap()), 8179);
    // Cursors are refused, table-valued parameters too, and the connection lives on.
    client.send(3, &rpc(2, &int_param(0, Some(1)))).await;
    assert_eq!(error_number(&client.message().await.unwrap()), 2812);
    client.send(3, &rpc(10, &[0, 0, 0xF3, 0, 0, 0])).await;
    assert_eq!(error_number(&client.message().await.unwrap()), 8016);
    assert_eq!(last_done(&client.ask("rows 1").await), (0x10, 1));
    let log = server.stop().await;
    let executed = log.executed.lock().unwrap();
    assert!(
        executed[0].starts_with("select @a | @a int | [Param"),
        "{executed:?}"
    );
    assert!(executed[1].contains("update | @a int") && executed[1].contains("Int(9)"));
    assert!(executed[2].contains("update | @a int") && executed[2].contains("Int(10)"));
}

/// SQL Server takes it. Servers that only speak like SQL Server do not.
#[tokio::test]
async fn a_null_without_a_type_is_refused_by_a_strict_server() {
    for (typed_nulls, expected) in [(false, None), (true, Some(8009))] {
        let options = WireOptions {
            typed_nulls,
            ..WireOptions::default()
        };
        let server = start(options).await;
        let mut client = server.login().await;
        let text = [text_param("", "select @a"), text_param("", "@a int")].concat();
        for (null, expected) in [(int_param(0, None), None), (vec![0, 0, 0x1F], expected)] {
            let call = [text.clone(), null].concat();
            client.send(3, &rpc(10, &call)).await;
            let answer = client.message().await.unwrap();
            let refused = (answer[0] == 0xAA).then(|| error_number(&answer));
            assert_eq!(refused, expected);
        }
        assert_eq!(last_done(&client.ask("rows 1").await), (0x10, 1));
    }
}

#[tokio::test]
async fn transactions_are_begun_and_ended_by_request() {
    let server = start(WireOptions::default()).await;
    let mut client = server.login().await;
    client
        .send(0x0E, &with_headers(&[5, 0, 2, 4, b'a', 0, b'b', 0]))
        .await;
    let answer = client.message().await.unwrap();
    assert_eq!(&answer[..5], [0xE3, 11, 0, 8, 8]);
    client.send(0x0E, &with_headers(&[7, 0, 0, 1, 3, 0])).await;
    let answer = client.message().await.unwrap();
    assert_eq!((answer[3], answer[14 + 3]), (9, 8));
    client.send(0x0E, &with_headers(&[8, 0, 0, 0])).await;
    assert_eq!(client.message().await.unwrap()[3], 10);
    client.send(0x0E, &with_headers(&[1, 0])).await;
    assert_eq!(error_number(&client.message().await.unwrap()), 4002);
    // The reset bit.
    client.packet(1, 9, &with_headers(&utf16("rows 1"))).await;
    assert_eq!(client.message().await.unwrap()[..4], [0xE3, 3, 0, 18]);
    let log = server.stop().await;
    let executed = log.executed.lock().unwrap();
    assert!(
        executed[0].contains("isolation: 2, name: \"ab\""),
        "{executed:?}"
    );
    assert!(executed[2].contains("Begin { isolation: 3"));
    assert_eq!(executed[4], "reset");
}

#[tokio::test]
async fn bulk_rows_arrive_whole_whatever_the_packets() {
    let server = start(WireOptions::default()).await;
    let mut client = server.login().await;
    client.ask("INSERT BULK t (n int, b varbinary(max))").await;
    let mut data = bulk_columns();
    for n in 0..2000 {
        data.extend(bulk_row(n, if n % 500 == 0 { 100_000 } else { 10 }));
    }
    data.extend([0xFD, 0, 0, 0, 0, 0, 0, 0, 0]);
    client.send(7, &data).await;
    assert_eq!(last_done(&client.message().await.unwrap()), (0x10, 2000));
    {
        let rows = server.log.bulk_rows.lock().unwrap();
        assert_eq!(rows.len(), 2000);
        assert_eq!(rows[500][1], Value::Bytes(vec![244; 100_000].into()));
        assert_eq!(
            rows[1999],
            [Value::Int(1999), Value::Bytes(vec![207; 10].into())]
        );
    }
    server.stop().await;
}

#[tokio::test]
async fn a_bulk_load_that_fails_or_is_given_up_leaves_the_connection_usable() {
    let server = start(WireOptions::default()).await;
    let mut client = server.login().await;
    let refused = [bulk_columns(), bulk_row(-1, 5), bulk_row(2, 20_000)].concat();
    let torn = [bulk_columns(), vec![0xD1, 4, 1]].concat();
    let narrow = vec![0x81, 1, 0, 0, 0, 0, 0, 9, 0, 0x26, 4, 0];
    for (data, number) in [(refused, 2627), (torn, 4804), (narrow, 4816)] {
        client.ask("INSERT BULK t").await;
        client.send(7, &data).await;
        assert_eq!(error_number(&client.message().await.unwrap()), number);
    }
    client.ask("INSERT BULK t").await;
    client.packet(7, 0, &bulk_columns()).await;
    client.packet(6, 1, &[]).await;
    assert_eq!(last_done(&client.message().await.unwrap()).0, 0x20);
    client.ask("INSERT BULK t").await;
    client.packet(7, 0, &bulk_columns()).await;
    client.packet(7, 3, &bulk_row(1, 1)).await;
    assert_eq!(last_done(&client.message().await.unwrap()), (2, 0));
    client.ask("INSERT BULK t").await;
    assert_eq!(error_number(&client.ask("rows 1").await), 4022);
    client.send(7, &bulk_columns()).await;
    assert_eq!(error_number(&client.message().await.unwrap()), 4002);
    assert_eq!(last_done(&client.ask("rows 1").await), (0x10, 1));
    let log = server.stop().await;
    assert_eq!(*log.bulk_ends.lock().unwrap(), [true; 6]);
    assert!(log.bulk_rows.lock().unwrap().is_empty());
}

#[tokio::test]
async fn an_embedded_server_listens_at_once_and_ends_its_connections_when_dropped() {
    let log = Arc::new(Log::default());
    let server = Arc::new(Scripted(Arc::clone(&log)));
    let any = "127.0.0.1:0".parse().unwrap();
    let embedded = super::Embedded::start(server, any, WireOptions::default()).unwrap();
    let socket = TcpStream::connect(embedded.addr()).await.unwrap();
    let mut client = Client::new(socket);
    client.send(0x10, &login7("sa", "secret", "db", &[])).await;
    client.message().await.unwrap();
    // It waits for a lock, as it were.
    client.batch("sleep").await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    drop(embedded);
    assert_eq!(log.closed.load(Ordering::Acquire), 1);
    // The connection is over, with or without a last word.
    while client.message().await.is_some() {}
}

#[tokio::test]
async fn a_lost_reply_leaves_the_write_and_a_lost_request_does_not() {
    let options = crate::SandboxOptions {
        init: vec!["CREATE TABLE dbo.t (id int NOT NULL PRIMARY KEY)".to_owned()],
        ..Default::default()
    };
    let sandbox = crate::Sandbox::start(options).unwrap();
    let open = async || {
        let mut client = Client::new(TcpStream::connect(sandbox.addr).await.unwrap());
        let login = login7("sa", "Sandbox-0nly!", "source", &[]);
        client.send(0x10, &login).await;
        assert!(client.message().await.unwrap().contains(&0xAD));
        client
    };
    for (fault, id) in [(Fault::DropAfter, 1), (Fault::DropBefore, 2)] {
        sandbox.faults.arm(fault, "INSERT", 1);
        let mut client = open().await;
        client
            .batch(&format!("INSERT INTO dbo.t VALUES ({id})"))
            .await;
        assert_eq!(client.message().await, None);
    }
    // In a transaction: the reply to the commit is lost, and the commit is not.
    let mut client = open().await;
    client
        .ask("BEGIN TRANSACTION; INSERT INTO dbo.t VALUES (3)")
        .await;
    sandbox.faults.arm(Fault::DropAfter, "commit", 1);
    client.batch("COMMIT").await;
    assert_eq!(client.message().await, None);
    // The connection is lost inside the transaction: it is rolled back.
    let mut client = open().await;
    client
        .ask("BEGIN TRANSACTION; INSERT INTO dbo.t VALUES (4)")
        .await;
    sandbox.faults.arm(Fault::DropAfter, "VALUES (5)", 1);
    client.batch("INSERT INTO dbo.t VALUES (5)").await;
    assert_eq!(client.message().await, None);
    let mut client = open().await;
    let answer = client.ask("SELECT id FROM dbo.t ORDER BY id").await;
    let rows: Vec<u8> = [1, 3].iter().flat_map(|id| [0xD1, *id, 0, 0, 0]).collect();
    assert!(answer.windows(10).any(|w| w == rows), "{answer:02X?}");
    assert_eq!(last_done(&answer), (0x10, 2));
    assert_eq!(sandbox.faults.fired(), 4);
}
