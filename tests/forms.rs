//! Forms from types: a kind describes its fields once, and page, form, JSON and refusals come from that.

use std::collections::BTreeMap;

use async_trait::async_trait;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::request::Parts;
use axum::http::{Request, StatusCode, header};
use jiff::civil::{Date, date};
use liveops::live::{NotStarted, StartError};
use liveops::operation::{
    Field, FieldError, Kind, OperationId, Registry, RegistryError, Submitted, Upload, read_form, read_json,
};
use liveops::store::{Filter, Sqlite};
use liveops::web::{self, Identify, IdentifyError, WebOptions};
use liveops::{LiveOps, LiveOpsBuilder, Operation, Outcome, Progress, SecretKey, Viewer};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tower::ServiceExt as _;

/// A field of every type.
#[derive(Serialize, Deserialize)]
struct Every {
    name: String,
    notes: String,
    home: String,
    copies: Option<i64>,
    ratio: Option<f64>,
    size: Option<String>,
    agree: bool,
    since: Option<Date>,
    file: Option<Upload>,
}

impl Operation for Every {
    const KIND: &'static str = "every";

    fn fields() -> Vec<Field> {
        vec![
            Field::text("name", "Name").required().max_length(8).pattern("[a-z]+").help("Small letters."),
            Field::textarea("notes", "Notes").min_length(2).max_length(40),
            Field::path("home", "Home"),
            Field::number("copies", "Copies").range(1, 9).default("1"),
            Field::decimal("ratio", "Ratio").range(0, 0.5),
            Field::choice("size", "Size", [("s", "Small"), ("l", "Large")]),
            Field::checkbox("agree", "Agree").default("on"),
            Field::date("since", "Since").range(date(2020, 2, 29), date(2026, 12, 31)),
            Field::file("file", "File").accept(".csv").max_bytes(5),
        ]
    }

    async fn run(self, _: Progress) -> liveops::Result {
        Ok(Outcome::default())
    }
}

/// Its fields forbid what its type allows; and a kind without fields takes what its type takes.
#[derive(Serialize, Deserialize)]
struct Bare(u8);

impl Operation for Bare {
    const KIND: &'static str = "bare";

    async fn run(self, _: Progress) -> liveops::Result {
        Ok(Outcome::default())
    }
}

fn ada() -> Viewer {
    let session = "a session".to_owned();
    Viewer { id: "1".to_owned(), name: "Ada".to_owned(), groups: Vec::new(), superuser: false, session }
}

struct Everybody;

#[async_trait]
impl Identify for Everybody {
    async fn identify(&self, _: &Parts) -> Result<Option<Viewer>, IdentifyError> {
        Ok(Some(ada()))
    }
}

struct Home {
    live: LiveOps,
    site: Router,
    folder: tempfile::TempDir,
}

fn builder(folder: &tempfile::TempDir) -> LiveOpsBuilder {
    LiveOps::builder()
        .store(Sqlite::open(folder.path().join("app.db")).expect("a database"))
        .secret_key(SecretKey::new(&[7; 32]).expect("a key"))
        .uploads(folder.path().join("uploads"))
}

impl Home {
    async fn new() -> Self {
        Self::with(|builder| builder).await
    }

    async fn with(more: impl FnOnce(LiveOpsBuilder) -> LiveOpsBuilder) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let builder = builder(&folder).operation::<Every>().operation::<Bare>();
        let live = more(builder).start().await.expect("it starts");
        let site = web::router(live.clone(), Everybody, &WebOptions::default());
        Self { live, site, folder }
    }

    async fn ask(&self, request: Request<Body>) -> (StatusCode, String) {
        let answer = self.site.clone().oneshot(request).await.expect("an answer");
        let status = answer.status();
        let body = to_bytes(answer.into_body(), 1 << 20).await.expect("a body");
        (status, String::from_utf8(body.to_vec()).expect("UTF-8"))
    }

    async fn form(&self) -> String {
        let request = Request::get("/operations/new/every").body(Body::empty()).expect("a request");
        let (status, page) = self.ask(request).await;
        assert_eq!(status, StatusCode::OK, "{page}");
        page
    }

    /// What comes of the form, filled in so, with a file.
    async fn post(&self, pairs: &[(&str, &str)], file: Option<(&str, &str)>) -> (StatusCode, String) {
        self.send("every", pairs, file).await
    }

    /// The same of the form of another kind.
    async fn send(
        &self,
        kind: &str,
        pairs: &[(&str, &str)],
        file: Option<(&str, &str)>,
    ) -> (StatusCode, String) {
        let page = self.form().await;
        let (_, rest) = page.split_once("name=\"csrf_token\" value=\"").expect("a token");
        let token = rest.split('"').next().unwrap_or("");
        let mut body = String::new();
        for (name, value) in [("csrf_token", token)].iter().chain(pairs) {
            body += &format!("--x\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
        }
        if let Some((name, content)) = file {
            body += &format!(
                "--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\r\n{content}\r\n"
            );
        }
        body += "--x--\r\n";
        let request = Request::post(format!("/operations/new/{kind}"))
            .header(header::CONTENT_TYPE, "multipart/form-data; boundary=x")
            .body(Body::from(body));
        self.ask(request.expect("a request")).await
    }

    /// The input of the newest operation.
    async fn input(&self) -> Option<Value> {
        let page = self.live.list(&ada(), &Filter::default(), 1).await.expect("the store");
        let id: OperationId = page.records.first()?.id;
        let snapshot = self.live.view(&ada(), id).await.expect("the store").expect("it is there");
        Some(snapshot.record.input)
    }
}

/// The tag that has this id.
fn tag<'a>(page: &'a str, id: &str) -> &'a str {
    let at = page.find(&format!("id=\"{id}\"")).unwrap_or_else(|| panic!("no {id} in {page}"));
    let begin = page[..at].rfind('<').expect("a tag");
    &page[begin..begin + page[begin..].find('>').expect("its end")]
}

#[tokio::test(flavor = "multi_thread")]
async fn each_type_has_its_native_input_with_its_limits() {
    let home = Home::new().await;
    let page = home.form().await;
    let cases: [(&str, &[&str]); 9] = [
        (
            "name",
            &[
                "<input type=\"text\"",
                "maxlength=\"8\"",
                "pattern=\"[a-z]+\"",
                " required",
                "field-name-help",
            ],
        ),
        ("notes", &["<textarea", "minlength=\"2\"", "maxlength=\"40\""]),
        ("home", &["<input type=\"text\""]),
        (
            "copies",
            &["<input type=\"number\"", "step=\"1\"", "min=\"1\"", "max=\"9\"", "value=\"1\"", " required"],
        ),
        ("ratio", &["<input type=\"number\"", "step=\"any\"", "min=\"0.0\"", "max=\"0.5\""]),
        ("size", &["<select"]),
        ("agree", &["<input type=\"checkbox\"", " checked"]),
        ("since", &["<input type=\"date\"", "min=\"2020-02-29\"", "max=\"2026-12-31\""]),
        ("file", &["<input type=\"file\"", "accept=\".csv\""]),
    ];
    for (name, parts) in cases {
        let tag = tag(&page, &format!("field-{name}"));
        for part in parts {
            assert!(tag.contains(part), "{part} in {tag}");
        }
        assert!(name == "name" || name == "copies" || !tag.contains(" required"), "{tag}");
    }
    assert!(page.contains("<option value=\"l\">Large</option>"), "{page}");
    assert!(page.contains("enctype=\"multipart/form-data\""));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_form_sends_becomes_the_input() {
    let home = Home::new().await;
    let pairs = [
        ("name", "ada"),
        ("notes", "one\r\ntwo"),
        ("home", "/operations"),
        ("copies", " 9 "),
        ("ratio", "2.5e-1"),
        ("size", "l"),
        ("agree", "on"),
        ("since", "2020-02-29"),
    ];
    let (status, page) = home.post(&pairs, Some(("a.csv", "12345"))).await;
    assert_eq!(status, StatusCode::SEE_OTHER, "{page}");
    let mut input = home.input().await.expect("it was started");
    let file = input["file"].take();
    assert_eq!((&file["name"], &file["size"]), (&json!("a.csv"), &json!(5)));
    let expected = json!({
        "name": "ada", "notes": "one\ntwo", "home": "/operations", "copies": 9, "ratio": 0.25, "size": "l",
        "agree": true, "since": "2020-02-29", "file": null,
    });
    assert_eq!(input, expected);
    // Left empty, an optional field is nothing.
    let pairs = [("name", "ada"), ("copies", "1"), ("ratio", ""), ("size", ""), ("since", ""), ("notes", "")];
    let (status, page) = home.post(&pairs, Some(("", ""))).await;
    assert_eq!(status, StatusCode::SEE_OTHER, "{page}");
    let expected = json!({
        "name": "ada", "notes": "", "home": "", "copies": 1, "ratio": null, "size": null, "agree": false,
        "since": null, "file": null,
    });
    assert_eq!(home.input().await, Some(expected));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_said_beside_its_field_and_the_rest_is_kept() {
    let home = Home::new().await;
    let cases = [
        ("name", "", "Fill in this field."),
        ("name", "abcdefghi", "Enter at most 8 characters: this has 9."),
        ("name", "Ada", "Enter what is asked for: Small letters."),
        ("notes", "x", "Enter at least 2 characters: this has 1."),
        ("home", "//evil", "Enter a path of this site"),
        ("copies", "1.5", "Enter a whole number from 1 to 9."),
        ("copies", "", "Enter a whole number from 1 to 9."),
        ("ratio", "0.75", "Enter a number from 0 to 0.5."),
        ("ratio", "NaN", "Enter a number from 0 to 0.5."),
        ("size", "xl", "Choose one of s (Small), l (Large)."),
        ("agree", "perhaps", "Tick the box or leave it."),
        ("since", "2020-2-29", "Enter a date as YYYY-MM-DD from 2020-02-29 to 2026-12-31."),
        ("since", "2020-02-28", "Enter a date as YYYY-MM-DD from 2020-02-29 to 2026-12-31."),
    ];
    for (name, value, sentence) in cases {
        let mut pairs = BTreeMap::from([("name", "ada"), ("notes", "kept <i>"), ("since", "2021-01-01")]);
        pairs.insert(name, value);
        let pairs: Vec<_> = pairs.into_iter().collect();
        let (status, page) = home.post(&pairs, Some(("mine.csv", "1"))).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{name}={value}");
        let wrong = tag(&page, &format!("field-{name}"));
        assert!(wrong.contains("aria-invalid=\"true\""), "{wrong}");
        assert!(wrong.contains(&format!("aria-describedby=\"field-{name}-error")), "{wrong}");
        assert!(page.contains(sentence), "{name}={value}: {page}");
        assert_eq!(page.matches("aria-invalid").count(), 1, "{name}={value}");
        assert!(name == "notes" || page.contains("\nkept &lt;i&gt;</textarea>"), "{page}");
        // Browsers take no value for a file.
        assert!(
            tag(&page, "field-file").contains("aria-describedby=\"field-file-lost field-file-limit\""),
            "{page}"
        );
        assert!(page.contains("Choose <bdi>mine.csv</bdi> again"), "{page}");
    }
    let (_, page) = home.post(&[("notes", "one\r\n<two>\r\n\r\nfour")], None).await;
    assert!(page.contains("\none\n&lt;two&gt;\n\nfour</textarea>"), "lines stay lines: {page}");
    let (status, page) = home.post(&[("name", "ada")], Some(("mine.csv", "123456"))).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(
        page.contains("Choose a file of at most 5 bytes.") && !page.contains("field-file-lost"),
        "{page}"
    );
    assert_eq!(home.input().await, None, "nothing was started");
    let left = std::fs::read_dir(home.folder.path().join("uploads")).expect("a folder").count();
    assert_eq!(left, 0, "what was sent with a wrong form is not kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kind_has_its_own_template_for_its_form() {
    let templates = tempfile::tempdir().expect("a folder");
    let own = "<p>Own: {{ kind.title }} <input name=\"csrf_token\" value=\"{{ csrf }}\">\
               {% for field in fields %}[{{ field.name }}: {{ field.error }}]{% endfor %}</p>";
    std::fs::write(templates.path().join("every_form.html"), own).expect("it is written");
    let home = Home::with(|builder| builder.templates(templates.path())).await;
    let page = home.form().await;
    assert!(page.starts_with("<p>Own: every") && page.contains("[name: ]"), "{page}");
    let (status, page) = home.post(&[], None).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(page.contains("[name: Fill in this field.]"), "{page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn json_is_read_by_the_same_rules() {
    let home = Home::new().await;
    let start = async |input: Value| home.live.start_kind(&ada(), "every", input).await;
    start(json!({ "name": "ada", "ratio": 0, "since": null })).await.expect("it starts");
    let expected = json!({
        "name": "ada", "notes": "", "home": "", "copies": 1, "ratio": 0.0, "size": null, "agree": true,
        "since": null, "file": null,
    });
    assert_eq!(home.input().await, Some(expected), "what is not there takes its default");
    let wrong = json!({
        "name": 7, "notes": ["x"], "home": "x", "copies": "3", "ratio": 0.75, "size": "xl", "agree": "on",
        "since": "tomorrow", "file": { "path": "/etc/passwd", "name": "x", "size": 1 }, "<nope>": 1,
    });
    let Err(NotStarted::Fields(errors)) = start(wrong.clone()).await else { panic!("it was started") };
    let named: Vec<_> = errors.iter().map(|error| &*error.field).collect();
    let keys: Vec<_> = wrong.as_object().expect("an object").keys().collect();
    assert_eq!(named, keys, "each of them, and the unknown one by its name");
    let one = start(json!({ "name": "ada", "copies": 10 })).await.expect_err("it is refused");
    assert_eq!(one.to_string(), "copies: Enter a whole number from 1 to 9.");
    for odd in [json!(null), json!([]), json!("name=ada")] {
        assert!(matches!(start(odd.clone()).await, Err(NotStarted::Fields(_))), "{odd}");
    }
    // A kind that describes no fields takes what its type takes.
    assert!(home.live.start_kind(&ada(), "bare", json!(7)).await.is_ok());
    assert!(matches!(home.live.start_kind(&ada(), "bare", json!(700)).await, Err(NotStarted::Input(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_field_that_cannot_be_used_stops_the_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut kind = Kind::of::<Bare>();
    // As a kind that is made at run time names it.
    kind.fields = vec![Field::text(String::from("name"), String::from("Name")).pattern(String::from("("))];
    let refused = builder(&folder).kind(kind).start().await.expect_err("it is refused");
    assert!(matches!(refused, StartError::Kind(RegistryError::Field { .. })), "{refused:?}");
    let line = refused.to_string();
    assert!(line.starts_with("kind \"bare\", field \"name\": ") && !line.contains('\n'), "{line}");
}

/// Its form gives nothing where its type needs a number.
#[derive(Serialize, Deserialize)]
struct Unfit {
    copies: i64,
}

impl Operation for Unfit {
    const KIND: &'static str = "unfit";

    fn fields() -> Vec<Field> {
        vec![Field::number("copies", "Copies")]
    }

    async fn run(self, _: Progress) -> liveops::Result {
        unreachable!("nothing fits it")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_that_does_not_fit_its_kind_is_told_in_general_words() {
    let home = Home::with(|builder| builder.operation::<Unfit>()).await;
    let (status, page) = home.send("unfit", &[("copies", "")], None).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(page.contains("Tell whoever runs this site.") && !page.contains("i64"), "{page}");
}

#[test]
fn no_kind_is_called_like_a_template_of_something_else() {
    let named = |name: &str| {
        let mut kind = Kind::of::<Bare>();
        name.clone_into(&mut kind.name);
        kind
    };
    for entry in std::fs::read_dir("templates").expect("the templates") {
        let file = entry.expect("a file").file_name().into_string().expect("UTF-8");
        let Some(name) = file.strip_suffix(".html") else { continue };
        let refused = Registry::default().add(named(name));
        assert_eq!(refused, Err(RegistryError::Template(name.to_owned())));
    }
    for (first, second) in [("backup", "backup_form"), ("backup_live", "backup"), ("backup", "backup_result")]
    {
        let mut registry = Registry::default();
        registry.add(named(first)).expect("it is the only one");
        assert!(matches!(registry.add(named(second)), Err(RegistryError::Template(_))), "{second}");
    }
    let mut registry = Registry::default();
    registry.add(named("backup")).expect("a name");
    registry.add(named("backup_forms")).expect("another name");
}

fn form(pairs: Vec<(String, String)>) -> Result<Value, Vec<FieldError>> {
    let values = pairs.into_iter().map(|(name, value)| (name, Submitted::Text(value))).collect();
    read_form(&fields(), &values)
}

/// Those that text can fill in.
fn fields() -> Vec<Field> {
    Every::fields().into_iter().filter(|field| !field.is_file()).collect()
}

fn name() -> impl Strategy<Value = String> {
    let names: Vec<_> = fields().iter().map(|field| field.name.to_string()).collect();
    prop_oneof![9 => proptest::sample::select(names), 1 => any::<String>()]
}

/// Text that is often nearly right.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[a-z]{0,9}",
        "-?[0-9]{0,3}(\\.[0-9]{1,3})?(e-?[0-9]{1,3})?",
        "20[12][0-9]-[01][0-9]-[0-3][0-9]",
        "on|off|s|l|/",
        "[a-z\r\n]{0,12}"
    ]
}

fn value() -> impl Strategy<Value = Value> {
    let one = prop_oneof![
        text().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (0i64..10).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        (0.0..0.6f64).prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        Just(Value::Null),
    ];
    one.prop_recursive(2, 8, 3, |inner| proptest::collection::vec(inner, 0..3).prop_map(Value::from))
}

proptest! {
    /// Whatever is typed, it is refused with a sentence, or is an input that is read as itself.
    #[test]
    fn what_a_form_gives_is_read_as_itself(pairs in proptest::collection::vec((name(), text()), 0..9), valid in "[a-z]{1,8}") {
        let mut pairs = pairs;
        if pairs.len().is_multiple_of(2) {
            pairs.push(("name".to_owned(), valid));
        }
        match form(pairs) {
            Ok(input) => prop_assert_eq!(read_json(&fields(), &input), Ok(input)),
            Err(errors) => prop_assert!(errors.iter().all(|error| error.message.len() > 5)),
        }
    }

    #[test]
    fn what_json_gives_is_read_as_itself(values in proptest::collection::btree_map(name(), value(), 0..6), valid in "[a-z]{1,8}") {
        let mut values = values;
        if values.len().is_multiple_of(2) {
            values.insert("name".to_owned(), valid.into());
        }
        let given = Value::Object(values.into_iter().collect());
        match read_json(&fields(), &given) {
            Ok(input) => prop_assert_eq!(read_json(&fields(), &input), Ok(input)),
            Err(errors) => prop_assert!(!errors.is_empty()),
        }
    }

    /// A field alone, so that most of what is nearly right comes through.
    #[test]
    fn each_field_reads_what_it_gave(at in 0usize..8, text in text(), value in value()) {
        let field = &fields()[at..=at];
        let name = field[0].name.to_string();
        let typed = read_form(field, &BTreeMap::from([(name.clone(), Submitted::Text(text))]));
        for input in [typed, read_json(field, &json!({ name: value }))].into_iter().flatten() {
            prop_assert_eq!(read_json(field, &input), Ok(input));
        }
    }

    #[test]
    fn any_pattern_is_one_or_says_that_it_is_none(source in any::<String>(), text in any::<String>()) {
        let pattern = liveops::operation::Pattern::new(source.clone());
        prop_assert_eq!(pattern.as_str(), source);
        let _ = pattern.matches(&text);
    }
}
