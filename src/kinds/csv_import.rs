//! Imports a CSV file into an SQLite file of its own, all rows or none.

mod columns;
mod reader;
mod sniff;
mod target;

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::time::Instant;

use serde::{Deserialize, Serialize};

use self::columns::{MOST_COLUMNS, column_names};
use self::reader::{Problem, Row, Rows};
use self::sniff::{HEAD, Looks, sniff};
use self::target::{Target, TargetError, path_for};
use crate::operation::{Field, Upload};
use crate::progress::{Cancelled, Level};
use crate::{Operation, Outcome, Progress, Result};

/// Successful rows between two log lines.
const LOG_EVERY: u64 = 50_000;

/// Imports a CSV file: comma-separated UTF-8 text (with or without a byte order mark) whose first
/// row names the columns.
///
/// The rows go into the table `rows`, a text column for each of the header's cells, of the SQLite
/// file `csv-import-<stem of the upload>.db` in the folder above the one for uploads. They are one
/// transaction: unless the import succeeds, the file is removed, and where the process is killed it
/// holds no rows. An attempt begins anew over whatever an earlier one left.
///
/// A row with another number of cells than the header, or that is not UTF-8, is rejected by a log
/// line with the physical line on which it starts. Empty lines are no rows. A file that is not CSV
/// as a whole (empty, binary, UTF-16, a header that is not UTF-8 or has more than 2000 cells, a
/// quote that is never closed, a row over 8 MiB) is refused before anything is imported. Memory
/// does not grow with the file.
#[derive(Debug, Serialize, Deserialize)]
pub struct CsvImport {
    /// The CSV file.
    pub file: Upload,
}

impl Operation for CsvImport {
    const KIND: &'static str = "csv_import";
    const TITLE: &'static str = "CSV import";
    const DESCRIPTION: &'static str = "Checks a CSV file with a header and imports its rows, all in one go. Rows that do not fit are left out and listed.";

    fn fields() -> Vec<Field> {
        let field = Field::file("file", "CSV file").accept(".csv,text/csv");
        vec![field.required().help("UTF-8, cells separated by commas, the first row names the columns.")]
    }

    fn label(&self) -> String {
        if self.file.name.trim().is_empty() { Self::TITLE.to_owned() } else { self.file.name.clone() }
    }

    async fn run(self, p: Progress) -> Result {
        let begun = Instant::now();
        p.weighted_stages([("Check", 1.0), ("Read", 9.0), ("Import", 85.0), ("Report", 5.0)]);
        match self.import(&p) {
            Ok(counts) => Outcome::result(counts.report(begun)).into(),
            Err(Stop::Refused(message)) => p.error(message),
            Err(Stop::Cancelled(cancelled)) => Err(cancelled.into()),
            Err(Stop::Target(error)) => Err(error.into()),
            Err(Stop::Io(error)) => Err(error.into()),
        }
    }
}

/// Why an import ended early.
#[derive(Debug, thiserror::Error)]
enum Stop {
    /// The file is not what it should be; the message is for the user.
    #[error("{0}")]
    Refused(String),
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
    #[error(transparent)]
    Target(#[from] TargetError),
    #[error("the upload: {0}")]
    Io(#[from] io::Error),
}

impl Stop {
    fn refuse(what: impl AsRef<str>, advice: &str) -> Self {
        Self::Refused(format!("{} Nothing was imported. {advice}", what.as_ref()))
    }
}

impl From<Problem> for Stop {
    fn from(problem: Problem) -> Self {
        let what = format!("This file is not CSV text: {problem}.");
        match problem {
            Problem::Io(error) => Self::Io(error),
            Problem::Nul { .. } => Self::refuse(what, SAVE_AS),
            Problem::OpenQuote { .. } => Self::refuse(
                what,
                "Close that quote, or write a quote inside a quoted cell twice, and choose the file again.",
            ),
            Problem::TooLong { .. } => {
                Self::refuse(what, "Look for a quote that is not closed there, and choose the file again.")
            }
        }
    }
}

const SAVE_AS: &str = "Save it as “CSV UTF-8” and choose that file.";

/// An upload that passed the first check.
struct Checked {
    file: File,
    /// Where the text begins.
    from: u64,
    columns: Vec<String>,
}

/// What came of the rows.
struct Counts {
    imported: u64,
    rejected: u64,
    columns: usize,
}

/// What the user sees in the end, in this order.
#[derive(Serialize)]
struct Report {
    #[serde(rename = "rows imported")]
    imported: u64,
    #[serde(rename = "rows rejected")]
    rejected: u64,
    columns: usize,
    seconds: f64,
}

impl CsvImport {
    fn import(&self, p: &Progress) -> std::result::Result<Counts, Stop> {
        // What an earlier attempt left goes first: however this one ends, it holds its rows or none.
        target::remove(&path_for(&self.file.path)).map_err(TargetError::from)?;
        let mut checked = self.check(p)?;
        let rows = self.read(p, &mut checked)?;
        let (target, counts) = self.fill(p, &mut checked, rows)?;
        report(p, target, &counts)?;
        Ok(counts)
    }

    /// Looks at the beginning: is it text, and is there a header?
    fn check(&self, p: &Progress) -> std::result::Result<Checked, Stop> {
        let _stage = p.stage("Check");
        p.status(format!("Checking {}", self.file.name));
        let mut file = File::open(&self.file.path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Stop::refuse(
                "The uploaded file is no longer there.",
                "Start a new import and choose it again.",
            ),
            _ => Stop::Io(error),
        })?;
        p.log(format!("{}, {} bytes", self.file.name, grouped(file.metadata()?.len())));
        let mut head = Vec::with_capacity(HEAD);
        file.by_ref().take(HEAD as u64).read_to_end(&mut head)?;
        let from = match sniff(&head) {
            Looks::Text { from } => from,
            Looks::Empty => return Err(empty()),
            Looks::Wide => {
                return Err(Stop::refuse("This file is not UTF-8: it looks like UTF-16 text.", SAVE_AS));
            }
            Looks::Binary(what) => {
                return Err(Stop::refuse(
                    format!("This file is not CSV text: it looks like {what}."),
                    SAVE_AS,
                ));
            }
        };
        file.seek(SeekFrom::Start(from))?;
        let columns = header(Rows::new(&file).next()?)?;
        if let [only] = columns.as_slice()
            && let Some(separator) = [";", "\t"].into_iter().find(|separator| only.contains(separator))
        {
            let name = if separator == ";" { "semicolons" } else { "tabs" };
            p.log_at(
                Level::Warning,
                format!("There is one column, since {name} do not separate columns here: commas do."),
            );
        }
        p.check_cancelled()?;
        Ok(Checked { file, from, columns })
    }

    /// Reads the whole file once: only then it is known to be CSV text, and how many rows it has.
    fn read(&self, p: &Progress, checked: &mut Checked) -> std::result::Result<u64, Stop> {
        let _stage = p.stage("Read");
        p.status(format!("Reading {}", self.file.name));
        let size = checked.file.metadata()?.len().max(1);
        let mut rows = checked.rows()?;
        let (mut count, mut shown) = (0, 0);
        while rows.next()?.is_some() {
            count += 1;
            p.check_cancelled()?;
            if rows.bytes_read() != shown {
                shown = rows.bytes_read();
                #[expect(clippy::cast_precision_loss, reason = "a percentage")]
                p.percent(shown as f64 * 100.0 / size as f64);
            }
        }
        p.log(format!("{}, {}", counted(count, "row"), counted(checked.columns.len() as u64, "column")));
        Ok(count)
    }

    fn fill(
        &self,
        p: &Progress,
        checked: &mut Checked,
        total: u64,
    ) -> std::result::Result<(Target, Counts), Stop> {
        let _stage = p.stage("Import");
        p.status("Importing rows");
        let columns = checked.columns.len();
        let target = Target::create(path_for(&self.file.path), &checked.columns)?;
        let mut insert = target.insert()?;
        let mut rows = checked.rows()?;
        let mut counts = Counts { imported: 0, rejected: 0, columns };
        for step in p.track(0..total).unit("rows") {
            step?;
            let Some(row) = rows.next()? else { break };
            let reason = match row.text() {
                _ if row.cells() != columns => wrong_cells(row.cells(), columns),
                None => "not UTF-8".to_owned(),
                Some(cells) => {
                    insert.row(cells)?;
                    counts.imported += 1;
                    p.ok(1);
                    if counts.imported.is_multiple_of(LOG_EVERY) {
                        p.log(format!("{} rows in", grouped(counts.imported)));
                    }
                    continue;
                }
            };
            counts.rejected += 1;
            p.failed(format!("line {}", row.line()), reason);
            p.status(format!("Importing rows, {} rejected", grouped(counts.rejected)));
        }
        drop(insert);
        Ok((target, counts))
    }
}

impl Checked {
    /// The rows below the header, from the first one.
    fn rows(&mut self) -> std::result::Result<Rows<&File>, Stop> {
        self.file.seek(SeekFrom::Start(self.from))?;
        let mut rows = Rows::new(&self.file);
        rows.next()?;
        Ok(rows)
    }
}

impl Counts {
    fn report(&self, begun: Instant) -> Report {
        let seconds = begun.elapsed().as_secs_f64();
        Report {
            imported: self.imported,
            rejected: self.rejected,
            columns: self.columns,
            seconds: (seconds * 100.0).round() / 100.0,
        }
    }
}

/// The names of the columns.
fn header(row: Option<&Row>) -> std::result::Result<Vec<String>, Stop> {
    let row = row.ok_or_else(empty)?;
    if row.cells() > MOST_COLUMNS {
        let cells = grouped(row.cells() as u64);
        return Err(Stop::refuse(
            format!("The header has {cells} columns, and a table can have 2,000."),
            "Leave columns out and choose the file again.",
        ));
    }
    let cells = row.text().ok_or_else(|| Stop::refuse("The header of this file is not UTF-8.", SAVE_AS))?;
    let names: Vec<_> = cells.collect();
    let control = |c: char| c.is_control() && !matches!(c, '\t' | '\r' | '\n');
    if names.iter().any(|name| name.contains(control)) {
        return Err(Stop::refuse(
            "This file is not CSV text: its first line has control characters.",
            SAVE_AS,
        ));
    }
    Ok(column_names(names.into_iter()))
}

fn empty() -> Stop {
    Stop::refuse("This file is empty.", "Choose a CSV file whose first line names the columns.")
}

/// Commits, as the last thing of all: what is cancelled or killed before leaves no rows.
fn report(p: &Progress, target: Target, counts: &Counts) -> std::result::Result<(), Stop> {
    let _stage = p.stage("Report");
    p.status("Writing to disk");
    p.check_cancelled()?;
    let name = target.name();
    target.commit()?;
    let Counts { imported, rejected, .. } = counts;
    p.log_at(
        Level::Success,
        format!("{} imported into {name}, {} rejected", counted(*imported, "row"), grouped(*rejected)),
    );
    Ok(())
}

fn wrong_cells(cells: usize, columns: usize) -> String {
    format!("{cells} cell{}, the header has {columns}", if cells == 1 { "" } else { "s" })
}

/// `1,234,567`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.char_indices() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 row`, `2,000 rows`.
fn counted(number: u64, noun: &str) -> String {
    format!("{} {noun}{}", grouped(number), if number == 1 { "" } else { "s" })
}
