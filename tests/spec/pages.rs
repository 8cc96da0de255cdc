//! Lists that are asked for page by page, through the gateway.

use chapar_tests::{Bus, Caller, Joiner};
use prost::Message as _;

use crate::other_contract::{OtherContract, grant};

const PROTO: &str = r#"
service Plots {
  rpc List(Ask) returns (Page) {
    option (chapar.contract.v1.method) = { subject: "owner" purposes: ["benefit.eligibility"] max_rows: 100 };
  }
}
message Ask { string owner = 1; int32 page_size = 2; string page_token = 3; }
message Page {
  repeated Plot plots = 1;
  string next_page_token = 2 [(chapar.contract.v1.field).page_token = true];
}
message Plot {
  int64 id = 1 [(chapar.contract.v1.field).class = CLASS_PUBLIC];
  string deed = 2 [(chapar.contract.v1.field).class = CLASS_SENSITIVE];
}
"#;

#[derive(Clone, PartialEq, prost::Message)]
struct Ask {
    #[prost(string, tag = 1)]
    owner: String,
    #[prost(int32, tag = 2)]
    page_size: i32,
    #[prost(string, tag = 3)]
    page_token: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Page {
    #[prost(message, repeated, tag = 1)]
    plots: Vec<Plot>,
    #[prost(string, tag = 2)]
    next_page_token: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Plot {
    #[prost(int64, tag = 1)]
    id: i64,
    #[prost(string, tag = 2)]
    deed: String,
}

async fn bus() -> (Bus, Joiner) {
    let plots = OtherContract::new("plots", PROTO);
    let select = "-- page by: id\nSELECT id, deed FROM plot WHERE owner = :owner\n";
    let registered = plots.service_of_adapters("plots.v1.Plots")
        + &grant("gov/welfare/benefits", "plots.v1.Plots/List", "plots.id")
        + &grant("gov/school/admission", "plots.v1.Plots/List", "plots.id");
    let bus = plots.on(Bus::builder().joining(), registered).start().await;
    let database = rusqlite::Connection::open(bus.folder().join("plots.db")).unwrap();
    let table =
        "CREATE TABLE plot (id INTEGER NOT NULL PRIMARY KEY, owner TEXT NOT NULL, deed TEXT NOT NULL);
        WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 250)
        INSERT INTO plot SELECT i, 'zahra', 'deed ' || i FROM n;";
    database.execute_batch(table).unwrap();
    let adapter = Joiner::of_contract(&bus, plots.with_statement("v1/Plots/List", select), "plots.db").await;
    (bus, adapter)
}

async fn page(caller: &Caller, page_size: i32, page_token: &str) -> Result<Page, String> {
    let ask = Ask { owner: "zahra".to_owned(), page_size, page_token: page_token.to_owned() };
    let ask = caller.ask("plots.v1.Plots/List").purpose("benefit.eligibility").raw(ask.encode_to_vec());
    let answer = ask.send().await.map_err(|refusal| refusal.reason)?;
    Ok(Page::decode(answer.bytes()).unwrap())
}

#[tokio::test]
async fn a_list_is_read_page_by_page_by_tokens_that_no_grant_names() {
    let (bus, _adapter) = bus().await;
    let welfare = bus.welfare().await;
    let (mut ids, mut token, mut sizes) = (Vec::new(), String::new(), Vec::new());
    loop {
        let page = page(&welfare, 0, &token).await.unwrap();
        assert!(page.plots.iter().all(|plot| plot.deed.is_empty()), "the deed is not granted");
        ids.extend(page.plots.iter().map(|plot| plot.id));
        sizes.push(page.plots.len());
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(ids, (1..=250).collect::<Vec<i64>>());
    assert_eq!(sizes, [100, 100, 50]);
    assert_eq!(bus.outcomes().await, ["OK", "OK", "OK"], "each page is a disclosure of its own");
}

#[tokio::test]
async fn a_token_is_refused_to_every_caller_but_the_one_who_got_it() {
    let (bus, _adapter) = bus().await;
    let welfare = bus.welfare().await;
    let token = page(&welfare, 2, "").await.unwrap().next_page_token;
    let school = bus.caller("gov/school/admission").await;
    assert_eq!(page(&school, 2, "").await.unwrap().plots.len(), 2);
    assert_eq!(page(&school, 2, &token).await.unwrap_err(), "PAGE_TOKEN_INVALID");
    assert_eq!(page(&welfare, 2, &token).await.unwrap().plots[0].id, 3);
}
