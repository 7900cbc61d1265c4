//! Chains in a pipe: each operation after the other, with a line between them.

use std::io::BufRead as _;

use super::{assert_code, begin, id_of, run, stdout};
use crate::harness::{Server, signal};

/// The ids of the operations that were told, each but the first after an empty line.
fn operations(said: &str) -> Vec<String> {
    let lines: Vec<_> = said.lines().collect();
    let begins = |line: &str| line.starts_with("operation ");
    for (at, line) in lines.iter().enumerate() {
        let is_between = at > 0 && begins(line);
        assert_eq!(at > 0 && lines[at - 1].is_empty(), is_between, "line {at} of {said}");
    }
    lines.into_iter().filter(|line| begins(line)).map(id_of).collect()
}

#[tokio::test]
async fn a_chain_of_ten_is_followed_and_run_here_to_its_end() {
    let server = Server::start().await;
    let words = ["run", "simulate", "--field", "steps=2", "--field", "delay_ms=0", "--field", "chain=9"];
    let output = run(server.folder(), &words);
    assert_code(&output, 0);
    let ran = operations(&stdout(&output));
    assert_eq!(ran.len(), 10, "{ran:?}");
    let links = |said: &str| -> Vec<usize> {
        let chains = said.lines().filter(|line| line.starts_with("chain: 1 "));
        chains.map(|line| line.matches(" › ").count()).collect()
    };
    assert_eq!(links(&stdout(&output)), Vec::from_iter(1..10), "each but the first says which one it is");
    // From a second on it is said how long it took.
    let hands_over =
        |line: &&str| line.starts_with("succeeded") && line.ends_with(", and hands over to the next one");
    assert_eq!(stdout(&output).lines().filter(hands_over).count(), 9);
    assert!(!server.said().contains("running"), "the server took none: {}", server.said());
    for from in [0, 7] {
        let watched = run(server.folder(), &["watch", &ran[from]]);
        assert_code(&watched, 0);
        assert_eq!(operations(&stdout(&watched)), ran[from..]);
        assert_eq!(links(&stdout(&watched)).last(), Some(&9));
        assert!(stdout(&watched).ends_with("message: Working\nsteps: 2\n"), "{watched:?}");
    }
}

#[tokio::test]
async fn an_interrupt_in_the_middle_of_a_chain_ends_it_there() {
    let server = Server::start().await;
    let client = server.demo_user().await;
    let words = ["run", "simulate", "--field", "steps=40", "--field", "delay_ms=50", "--field", "chain=9"];
    let (mut running, first, lines) = begin(server.folder(), &words);
    let mut said = format!("operation {first}\n");
    for line in lines.lines().map_while(Result::ok) {
        said += &format!("{line}\n");
        if line.starts_with("operation ") && operations(&said).len() == 3 {
            signal(&running, "-INT");
        }
    }
    assert_eq!(running.wait().expect("ours").code(), Some(130));
    let ran = operations(&said);
    // The third, or one after it where the interrupt came late.
    assert!((3..10).contains(&ran.len()), "it was not run to its end: {said}");
    assert!(said.lines().last().is_some_and(|line| line.starts_with("cancelled")), "{said}");
    let (last, before) = ran.split_last().expect("three");
    for id in before {
        assert_eq!(client.page(id).await.state, "succeeded");
    }
    assert_eq!(client.page(last).await.state, "cancelled");
    let list = client.get("/operations").await.text();
    assert_eq!(list.matches("<tr id=\"op-").count(), ran.len(), "nothing was begun after it: {list}");
    assert_code(&run(server.folder(), &["watch", &ran[0]]), 1);
}
