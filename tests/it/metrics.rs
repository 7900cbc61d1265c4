//! `/metrics` on an address of its own.

use crate::harness::{Ask, Client, Server, until};

/// The address of the metrics that the server printed.
async fn address(server: &Server) -> Client {
    let line = until("the metrics' address", async || {
        let said = server.said();
        let line = said.lines().find_map(|line| line.strip_prefix("metrics on http://"))?;
        line.strip_suffix("/metrics").map(str::to_owned)
    });
    Client::new(line.await.parse().expect("an address"))
}

async fn read(metrics: &Client) -> String {
    let answer = metrics.get("/metrics").await;
    assert_eq!(answer.status, 200);
    let content_type = answer.headers.get("content-type").expect("a type").to_str().expect("ASCII");
    assert!(content_type.starts_with("text/plain; version=0.0.4"), "{content_type}");
    answer.text()
}

fn value(text: &str, name: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name} in {text}")).parse().expect("a number")
}

#[tokio::test]
async fn what_happens_is_counted() {
    let server = Server::with(&[("metrics_listen", "127.0.0.1:0"), ("workers", "1")]).await;
    let metrics = address(&server).await;
    let client = server.demo_user().await;
    let done = client.simulate(&[("steps", "1")]).await;
    client.finished(&done).await;
    let running = client.simulate(&[("steps", "100000"), ("delay_ms", "1000")]).await;
    client.reaches(&running, "running").await;
    client.simulate(&[("steps", "1")]).await;
    let stream = client.follow(&running).await;
    assert_eq!(client.get("/stream?token=nonsense").await.status, 403);
    assert_eq!(Client::new(server.address).log_in("demo", "wrong").await.status, 422);

    for method in ["DELETE", "X-ANYTHING"] {
        client.send(Ask::new(method, "/a-path-that-is-nobodys-label")).await;
    }

    let open = async |count: f64| {
        let open = async || value(&read(&metrics).await, "liveops_streams_open");
        until("so many streams", async || (open().await == count).then_some(())).await;
    };
    open(1.0).await;
    // An end is told before it is counted.
    let text = until("that the one is over, for the figures too", async || {
        let text = read(&metrics).await;
        let ended = value(&text, "liveops_operations_ended_total{state=\"succeeded\"}");
        (ended == 1.0 && value(&text, "liveops_runs") == 1.0).then_some(text)
    })
    .await;
    assert!(value(&text, "liveops_streams_opened_total") >= 1.0, "{text}");
    for (name, expected) in [
        ("liveops_streams_refused_total{reason=\"token\"}", 1.0),
        ("liveops_operations{kind=\"simulate\",state=\"succeeded\"}", 1.0),
        ("liveops_operations{kind=\"simulate\",state=\"running\"}", 1.0),
        ("liveops_operations{kind=\"simulate\",state=\"waiting\"}", 1.0),
        ("liveops_operations{kind=\"csv_import\",state=\"failed\"}", 0.0),
        ("liveops_queue_length", 1.0),
        ("liveops_runs", 1.0),
        ("liveops_operations_started_total{kind=\"simulate\"}", 3.0),
        ("liveops_operations_ended_total{state=\"succeeded\"}", 1.0),
        ("liveops_logins_failed_total", 1.0),
        ("liveops_database_up", 1.0),
        ("liveops_request_seconds_count{route=\"/login\",method=\"POST\",status=\"422\"}", 1.0),
        ("liveops_request_seconds_count{route=\"none\",method=\"other\",status=\"404\"}", 2.0),
    ] {
        assert_eq!(value(&text, name), expected, "{name}");
    }
    assert!(value(&text, "liveops_queue_age_seconds") > 0.0, "{text}");
    assert!(value(&text, "liveops_commit_seconds_count") >= 3.0, "{text}");
    assert!(value(&text, "liveops_frame_seconds_count") >= 1.0, "{text}");
    for name in ["liveops_streams_open", "liveops_commit_seconds", "liveops_operations"] {
        assert!(
            text.contains(&format!("# HELP {name} ")) && text.contains(&format!("# TYPE {name} ")),
            "{name}"
        );
    }
    assert!(!text.contains("nobodys-label") && !text.contains("ANYTHING"), "{text}");
    drop(stream);
    open(0.0).await;
}

/// What appears with its first event has no increase that could raise an alarm.
#[tokio::test]
async fn what_did_not_happen_yet_is_there_as_none() {
    let server = Server::with(&[("metrics_listen", "127.0.0.1:0")]).await;
    let metrics = address(&server).await;
    let text = read(&metrics).await;
    for name in [
        "liveops_runs",
        "liveops_streams_open",
        "liveops_streams_opened_total",
        "liveops_streams_refused_total{reason=\"token\"}",
        "liveops_streams_refused_total{reason=\"too_many\"}",
        "liveops_streams_refused_total{reason=\"address\"}",
        "liveops_operations_started_total{kind=\"simulate\"}",
        "liveops_operations_started_total{kind=\"csv_import\"}",
        "liveops_operations_ended_total{state=\"succeeded\"}",
        "liveops_operations_ended_total{state=\"failed\"}",
        "liveops_operations_ended_total{state=\"cancelled\"}",
        "liveops_operations_ended_total{state=\"interrupted\"}",
        "liveops_operations_interrupted_total",
        "liveops_operations_repeated_total",
        "liveops_frame_bytes_total",
        "liveops_logins_failed_total",
    ] {
        assert_eq!(value(&text, name), 0.0, "{name}");
    }
    // At the start something may have been written.
    assert!(value(&text, "liveops_commits_total") >= 0.0 && value(&text, "liveops_writes_total") >= 0.0);
    let client = server.demo_user().await;
    let id = client.simulate(&[("steps", "1"), ("outcome", "fail")]).await;
    assert_eq!(client.finished(&id).await.state, "failed");
    let failed =
        async || value(&read(&metrics).await, "liveops_operations_ended_total{state=\"failed\"}") == 1.0;
    until("its end is counted", async || failed().await.then_some(())).await;
}

#[tokio::test]
async fn a_database_that_does_not_answer_hides_no_other_figure() {
    let server = Server::with(&[("metrics_listen", "127.0.0.1:0")]).await;
    let metrics = address(&server).await;
    let client = server.demo_user().await;
    client.finished(&client.simulate(&[("steps", "0")]).await).await;
    assert_eq!(value(&read(&metrics).await, "liveops_database_up"), 1.0);
    let database = rusqlite::Connection::open(server.folder().join("liveops.db")).expect("the database");
    database.execute_batch("ALTER TABLE liveops_operations RENAME TO elsewhere").expect("it is broken");
    let text = read(&metrics).await;
    assert_eq!(value(&text, "liveops_database_up"), 0.0);
    assert_eq!(value(&text, "liveops_operations_started_total{kind=\"simulate\"}"), 1.0);
    database.execute_batch("ALTER TABLE elsewhere RENAME TO liveops_operations").expect("it is mended");
    assert_eq!(value(&read(&metrics).await, "liveops_database_up"), 1.0);
}

#[tokio::test]
async fn nothing_else_is_served_there_and_nothing_of_it_elsewhere() {
    let server = Server::with(&[("metrics_listen", "127.0.0.1:0")]).await;
    let metrics = address(&server).await;
    for path in ["/", "/login", "/operations", "/healthz", "/metrics/"] {
        assert_eq!(metrics.get(path).await.status, 404, "{path}");
    }
    assert_eq!(metrics.send(Ask::post("/metrics").form(&[])).await.status, 405);
    assert!(metrics.get("/metrics").await.headers.contains_key("content-security-policy"));
    assert_eq!(server.demo_user().await.get("/metrics").await.status, 404);
    let without = Server::start().await;
    assert!(!without.said().contains("metrics on"), "{}", without.said());
}
