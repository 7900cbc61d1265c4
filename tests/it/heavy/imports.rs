//! Imports that are large, and imports that have much to say.

use std::collections::BTreeSet;
use std::time::Instant;

use rusqlite::Connection;

use super::{log_of, total_lines};
use crate::harness::{Event, Model, Server};
use crate::start::{count, imports};

/// Rows of the large file, of 1,000 bytes each: 200 MB.
const LARGE: usize = 210_000;
/// Rows of the long one.
const LONG: usize = 1_000_000;

#[tokio::test]
async fn a_file_of_200_mb_needs_less_than_100_mib() {
    let server = Server::with(&[("max_upload_bytes", "300000000")]).await;
    let client = server.demo_user().await;
    let header = "id,name,filler\n";
    let filler = "f".repeat(1000 - "000000000,\"Name, 000000000\",\n".len());
    let filler_length = filler.len();
    let rows = (0..LARGE).collect::<Vec<_>>();
    let pieces = rows.chunks(100).map(<[usize]>::to_vec).collect::<Vec<_>>().into_iter().map(move |rows| {
        let mut piece = String::with_capacity(100_000);
        rows.iter().for_each(|n| piece.push_str(&format!("{n:09},\"Name, {n:09}\",{filler}\n")));
        piece.into_bytes()
    });
    let pieces = std::iter::once(header.as_bytes().to_vec()).chain(pieces);
    let id = client.import_made_of("large.csv", header.len() + LARGE * 1000, pieces).await;
    let after_upload = server.memory("VmHWM");
    let page = client.finished(&id).await;
    let peak = server.memory("VmHWM");
    println!("most memory: {after_upload} MiB after the upload, {peak} MiB in the end");
    assert!(peak < 100, "{peak} MiB, {after_upload} after the upload");

    let result = liveops::testing::Page::parse(&page.html).text("result");
    assert!(result.contains("210,000"), "{result}");
    let file = imports(server.folder()).pop().expect("the import's file");
    let database = Connection::open(&file).expect("a database");
    let sql = "SELECT count(*), sum(CAST(id AS INTEGER)), sum(name = 'Name, ' || id), sum(length(filler))
               FROM rows";
    let row = |row: &rusqlite::Row<'_>| Ok([row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?]);
    let sums: [i64; 4] = database.query_row(sql, [], row).expect("sums");
    let expected = [LARGE, LARGE * (LARGE - 1) / 2, LARGE, LARGE * filler_length];
    assert_eq!(sums.map(|sum| sum as usize), expected, "every row as it was sent");
}

#[tokio::test]
async fn a_million_rows_stay_live_at_the_rate_and_lose_no_line() {
    let server = Server::start().await;
    let client = server.demo_user().await;
    let mut file = String::from("id,amount\n");
    for n in 1..=LONG {
        file.push_str(&format!("{n},{}{}\n", n % 1000, if n % 10 == 0 { ",too much" } else { "" }));
    }
    let id = client.import("long.csv", file.as_bytes()).await;
    // Before all that is sent: what waits for a reader that is late comes faster than it was sent.
    let begin = Instant::now();
    let mut events = client.follow(&id).await;
    let begun = |event: &Event| event.element().ends_with("-progress") && percent(event) >= Some(10);
    let mut seen = events.until(begun).await;
    let page = client.page(&id).await;
    assert_eq!(page.state, "running", "a page that is opened in the middle answers then");
    seen.append(&mut events.rest().await);

    let flushes: BTreeSet<&str> = seen.iter().filter_map(|event| event.id.as_deref()).collect();
    let took = begin.elapsed();
    let rate = flushes.len() as f64 / took.as_secs_f64();
    println!("{} flushes in {took:?}, {rate:.1} a second; {} MiB", flushes.len(), server.memory("VmHWM"));
    // The first state, and two changes of it, do not wait for the pace.
    assert!(flushes.len() as f64 <= took.as_secs_f64() * 10.0 + 4.0, "{rate} flushes a second");
    assert!(flushes.len() as f64 >= took.as_secs_f64() * 2.0, "it was live: {rate} flushes a second");
    let longest = seen.windows(2).map(|pair| pair[1].at - pair[0].at).max().unwrap_or_default();
    assert!(longest < took / 2, "it stood still for {longest:?} of {took:?}");
    let percents: BTreeSet<u64> = seen.iter().filter_map(percent).collect();
    let statuses: BTreeSet<&str> =
        seen.iter().filter(|event| event.element().ends_with("-status")).map(Event::html).collect();
    assert!(percents.len() >= 10 && statuses.len() >= 10, "{percents:?} {statuses:?}");

    // The model refuses a line that comes twice.
    let model = Model::of(&seen);
    let page = client.page(&id).await;
    model.assert_is(&page);
    let log = log_of(&client, &id).await;
    let lines: Vec<&str> = log.lines().collect();
    let rejected: Vec<&&str> = lines.iter().filter(|line| line.starts_with("line ")).collect();
    assert_eq!(rejected.len(), LONG / 10);
    for (line, n) in rejected.iter().zip(1..) {
        // The header is line 1.
        assert_eq!(**line, format!("line {}: 3 cells, the header has 2", n * 10 + 1));
    }
    let steps = lines.iter().filter(|line| line.ends_with(" rows in")).count();
    assert_eq!(steps, LONG * 9 / 10 / 50_000);
    // The file and its size, what was read, and what came of it.
    assert_eq!(lines.len(), rejected.len() + steps + 3);
    assert_eq!(total_lines(&page), lines.len(), "the page counts the same lines");
    let total = lines.len() as u64;
    assert_eq!(model.line_numbers(), (total - 199..=total).collect::<Vec<_>>());
    assert_eq!(lines[lines.len() - 200..], model.log(), "each under its number");
    assert_eq!(count(&imports(server.folder())[0]), (LONG * 9 / 10) as i64);
}

/// The bar's value in an event.
fn percent(event: &Event) -> Option<u64> {
    let value = event.html().split(" value=\"").nth(1)?;
    value.split('"').next()?.parse().ok()
}
