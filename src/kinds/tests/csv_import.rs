use std::fs;
use std::path::PathBuf;

use rusqlite::Connection;
use serde_json::Value;
use tempfile::TempDir;

use super::*;
use crate::kinds::CsvImport;
use crate::operation::{State, Upload};

/// An upload as the binary stores it, and the place where its import goes.
struct Case {
    folder: TempDir,
    import: PathBuf,
    upload: PathBuf,
}

impl Case {
    fn new(bytes: &[u8]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let upload = folder.path().join("uploads").join("0f3a");
        fs::create_dir(folder.path().join("uploads")).expect("made");
        fs::write(&upload, bytes).expect("written");
        Self { import: folder.path().join("csv-import-0f3a.db"), folder, upload }
    }

    fn operation(&self) -> CsvImport {
        let size = fs::metadata(&self.upload).map_or(0, |data| data.len());
        CsvImport { file: Upload { path: self.upload.clone(), name: "orders.csv".to_owned(), size } }
    }

    fn run(&self) -> Recorded {
        run(self.operation())
    }

    /// All cells of the table, by row, and the columns' names first.
    fn table(&self) -> Vec<Vec<String>> {
        let connection = Connection::open(&self.import).expect("a database");
        let mut statement = connection.prepare("SELECT * FROM rows ORDER BY rowid").expect("a table");
        let names: Vec<String> = statement.column_names().map(str::to_owned).collect();
        let width = names.len();
        let rows = statement
            .query_map([], |row| (0..width).map(|index| row.get(index)).collect())
            .expect("rows")
            .map(|row| row.expect("a row"));
        std::iter::once(names).chain(rows).collect()
    }

    /// Nothing but the upload is there.
    fn left_nothing(&self) -> bool {
        fs::read_dir(self.folder.path()).expect("listed").count() == 1
    }
}

fn counts(seen: &Recorded) -> (u64, u64, u64) {
    assert_eq!(seen.state(), State::Succeeded, "{:?}", seen.error());
    let result = seen.result().expect("a result");
    let number = |name: &str| result[name].as_u64().expect(name);
    (number("rows imported"), number("rows rejected"), number("columns"))
}

#[track_caller]
fn refused(bytes: &[u8], words: &str) {
    let case = Case::new(bytes);
    let seen = case.run();
    let message = seen.error().expect("an error");
    assert!(message.contains(words) && message.contains("Nothing was imported."), "{message}");
    assert!(seen.result().is_none());
    assert!(case.left_nothing());
}

#[test]
fn rows_go_into_a_table_and_the_result_counts_them() {
    let case = Case::new("id,name\r\n1,\"Ünal, Ö\"\r\n2,\"two\r\nlines\"\r\n\r\n3,\r\n".as_bytes());
    let seen = case.run();
    assert_eq!(counts(&seen), (3, 0, 2));
    let Some(Value::Object(result)) = seen.result() else { panic!("a mapping") };
    let keys: Vec<_> = result.keys().collect();
    assert_eq!(keys, ["rows imported", "rows rejected", "columns", "seconds"]);
    assert!(result["seconds"].is_number());
    assert_eq!(case.table(), [["id", "name"], ["1", "Ünal, Ö"], ["2", "two\r\nlines"], ["3", ""]]);
    assert_eq!(seen.stages(), ["Check", "Read", "Import", "Report"]);
    assert!(seen.updates().contains(&Update::Done(3)));
    assert!(!case.folder.path().join("csv-import-0f3a.db-journal").exists());
}

#[test]
fn bad_rows_are_rejected_by_line_and_reason() {
    let text = b"a,b\n1,2\n\n\"x\ny\",2\n1,2,3\n\"q\nr\"\nM\xFCller,2\n\"\",\n 7\n8,9";
    let case = Case::new(text);
    let seen = case.run();
    assert_eq!(counts(&seen), (4, 4, 2));
    let expected = [
        "line 6: 3 cells, the header has 2",
        "line 7: 1 cell, the header has 2",
        "line 9: not UTF-8",
        "line 11: 1 cell, the header has 2",
    ];
    assert_eq!(seen.log_at(Level::Warning), expected);
    assert_eq!(case.table().len(), 5);
}

#[test]
fn a_byte_order_mark_is_no_part_of_the_first_name() {
    let case = Case::new(b"\xEF\xBB\xBF\"a\",b\n1\n");
    let seen = case.run();
    assert_eq!(counts(&seen), (0, 1, 2));
    assert_eq!(seen.log_at(Level::Warning), ["line 2: 1 cell, the header has 2"]);
    assert_eq!(case.table(), [["a", "b"]]);
}

#[test]
fn a_header_alone_is_a_success_without_rows() {
    for text in ["a,b,c", "a,b,c\n", "\r\na,b,c\r\n\r\n"] {
        let case = Case::new(text.as_bytes());
        assert_eq!(counts(&case.run()), (0, 0, 3), "{text:?}");
        assert_eq!(case.table().len(), 1);
    }
}

#[test]
fn what_is_no_csv_text_is_refused_with_advice() {
    refused(b"", "is empty");
    refused(b"\xEF\xBB\xBF", "is empty");
    refused(b"\n\r\n\n", "is empty");
    refused(b"\xFF\xFEa\0,\0b\0\n\x001\0,\x002\0", "UTF-16");
    refused(b"a\0,\0b\0\n\x001\0,\x002\0", "UTF-16");
    refused(b"PK\x03\x04\x14\0\x06\0 [Content_Types].xml", "XLSX");
    refused(b"\x1F\x8B\x08\x08", "gzip");
    refused(b"%PDF-1.7\nx,y\n", "PDF");
    refused(b"a,b\n1,2\n3,\0\n", "binary");
    refused(b"na\xEFve,b\n1,2\n", "header of this file is not UTF-8");
    refused(b"a\x1B[31m,b\n1,2\n", "control characters");
    refused(&[b"a,b\n".to_vec(), b"1,2\n".repeat(5000), b"\0".to_vec()].concat(), "line 5002 has a NUL byte");
}

#[test]
fn a_quote_that_is_never_closed_is_refused_with_its_line() {
    refused(b"a,b\n1,2\n3,\"4\n5,6\n7,8\n", "line 3 has a quote that is never closed");
    refused(b"\"a,b\n1,2\n", "line 1 has a quote that is never closed");
}

#[test]
fn columns_are_named_safely_up_to_the_most_a_table_can_have() {
    let case = Case::new(b"id,,ID,\"x\"\" TEXT); DROP TABLE rows; --\",rowid\n1,2,3,4,5\n");
    assert_eq!(counts(&case.run()), (1, 0, 5));
    assert_eq!(
        case.table()[0],
        ["id", "column_2", "ID_2", "x\" TEXT); DROP TABLE rows; --", "rowid"].map(str::to_owned)
    );

    let wide = |columns: usize| format!("{0}\n{0}\n", vec!["c"; columns].join(","));
    assert_eq!(counts(&Case::new(wide(2000).as_bytes()).run()), (1, 0, 2000));
    refused(wide(2001).as_bytes(), "2,001 columns");
}

#[test]
fn a_cancelled_import_leaves_nothing_and_a_restart_begins_anew() {
    let case = Case::new(&[b"a,b\n".to_vec(), b"1,2\n".repeat(20_000)].concat());
    assert_eq!(counts(&case.run()), (20_000, 0, 2));
    let stops: [fn(&Update) -> bool; 4] = [
        |update| matches!(update, Update::EnterStage(name) if name.as_str() == "Check"),
        |update| matches!(update, Update::EnterStage(name) if name.as_str() == "Read"),
        |update| *update == Update::Done(15_000),
        |update| matches!(update, Update::EnterStage(name) if name.as_str() == "Report"),
    ];
    for stop in stops {
        let seen = Recorder::new().cancel_when(stop).run(case.operation());
        assert_eq!(seen.state(), State::Cancelled);
        assert!(case.left_nothing());
    }
    assert_eq!(counts(&case.run()), (20_000, 0, 2));
}

#[test]
fn what_a_killed_attempt_left_is_replaced() {
    let case = Case::new(b"a\n1\n");
    fs::write(&case.import, b"half a database").expect("written");
    fs::write(case.folder.path().join("csv-import-0f3a.db-journal"), b"a journal").expect("written");
    assert_eq!(counts(&case.run()), (1, 0, 1));
    assert_eq!(case.table(), [["a"], ["1"]]);
}

#[test]
fn many_rows_have_a_readable_log() {
    let case = Case::new(&[b"a,b,c\n".to_vec(), b"1,\"two\",3\n".repeat(100_000)].concat());
    let seen = case.run();
    assert_eq!(counts(&seen), (100_000, 0, 3));
    let expected = [
        "orders.csv, 1,000,006 bytes",
        "100,000 rows, 3 columns",
        "50,000 rows in",
        "100,000 rows in",
        "100,000 rows imported into csv-import-0f3a.db, 0 rejected",
    ];
    assert_eq!(seen.log(), expected);
    let rising = seen.percents().len();
    assert!((10..1000).contains(&rising), "{rising}");
}

#[test]
fn a_missing_upload_is_said_and_another_failure_is_internal() {
    let case = Case::new(b"a\n");
    fs::remove_file(&case.upload).expect("removed");
    assert!(case.run().error().expect("an error").contains("no longer there"));
    fs::create_dir(&case.upload).expect("made");
    assert!(case.run().detail().is_some());
}
