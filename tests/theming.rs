//! The stylesheet is easy to override, keeps to its own elements, and docs/theming.md names everything in it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

type Names = BTreeSet<String>;

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).expect("the file is there")
}

/// All files of a folder and its folders, as one text.
fn all(folder: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let entries = fs::read_dir(root).expect("the folder is there").map(|entry| entry.expect("an entry"));
    entries
        .map(|entry| {
            let path = format!("{folder}/{}", entry.file_name().to_string_lossy());
            if entry.path().is_dir() { all(&path) } else { read(&path) }
        })
        .collect()
}

/// The stylesheet without its comments.
fn stylesheet() -> String {
    let css = read("assets/liveops.css");
    css.split("/*").map(|part| part.split_once("*/").map_or(part, |(_, rest)| rest)).collect()
}

/// Each selector of a stylesheet; those of keyframes are none.
fn selectors(css: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = css;
    while let Some((head, body)) = rest.split_once('{') {
        let head = head.rsplit(['}', ';']).next().unwrap_or(head).trim();
        if head.starts_with("@keyframes") {
            rest = body.split_once("}\n").map_or("", |(_, after)| after);
        } else {
            if !head.starts_with('@') {
                found.extend(split(head));
            }
            rest = body;
        }
    }
    found
}

/// A list of selectors, cut at the commas that stand in no brackets.
fn split(list: &str) -> Vec<String> {
    let mut depth = 0_usize;
    let mut found = vec![String::new()];
    for letter in list.chars() {
        match letter {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => {
                found.push(String::new());
                continue;
            }
            _ => {}
        }
        found.last_mut().expect("one").push(letter);
    }
    found.iter().map(|selector| selector.trim().to_owned()).collect()
}

/// A selector without what counts nothing: what stands in `:where(…)`.
fn weighty(selector: &str) -> String {
    let Some((before, after)) = selector.split_once(":where(") else { return selector.to_owned() };
    let mut depth = 1_usize;
    let end = after
        .find(|letter| {
            depth = match letter {
                '(' => depth + 1,
                ')' => depth - 1,
                _ => depth,
            };
            depth == 0
        })
        .expect("the brackets are closed");
    weighty(&format!("{before}{}", &after[end + 1..]))
}

/// How many classes; attributes and states; ids and elements a selector counts.
fn weight(selector: &str) -> (usize, usize, usize) {
    let text = weighty(selector).replace(":dir(rtl)", ":dir");
    let (pseudo_elements, colons) = (text.matches("::").count(), text.matches(':').count());
    let groups = [":not(", ":is(", ":has("].map(|name| text.matches(name).count()).iter().sum::<usize>();
    let states = text.matches('[').count() + colons - 2 * pseudo_elements - groups;
    let outside: String =
        text.split('[').map(|part| part.split_once(']').map_or(part, |(_, rest)| rest)).collect();
    let elements = outside
        .split([' ', '>', '+', '~', '(', ')', ','])
        .filter(|part| part.starts_with(|letter: char| letter.is_ascii_alphabetic() || letter == '#'));
    (outside.matches('.').count(), states, elements.count())
}

#[test]
fn a_class_is_all_that_a_page_needs_to_override_it() {
    let css = stylesheet();
    let selectors = selectors(&css);
    assert!(selectors.len() > 200, "{} selectors are read", selectors.len());
    for selector in &selectors {
        let (classes, states, elements) = weight(selector);
        assert!(classes <= 1, "{selector} counts {classes} classes: put all but one into :where(…)");
        assert!(states <= 2, "{selector} counts {states} attributes and states");
        assert_eq!(elements, 0, "{selector} counts an element or an id: put it into :where(…)");
    }
    let loud: Vec<&str> = css.lines().filter(|line| line.contains("!important")).collect();
    assert!(loud.iter().all(|line| line.contains("transition: none")), "{loud:?}");
}

#[test]
fn it_keeps_to_elements_of_its_own() {
    for selector in selectors(&stylesheet()) {
        let mut first = selector.split([' ', '>', '+', '~']).next().unwrap_or_default().to_owned();
        if selector.starts_with(":where(") {
            first = selector.split_once(')').expect("a bracket").0.to_owned();
        }
        let ours = first.contains(".liveop") || first.contains(".site");
        assert!(ours, "{selector} is about elements of the page around it");
    }
}

#[test]
fn it_knows_no_left_and_no_right() {
    let css = stylesheet();
    for declaration in css.split(['{', '}', ';']).map(str::trim) {
        let Some((name, value)) = declaration.split_once(':') else { continue };
        if !name.chars().all(|letter| letter.is_ascii_lowercase() || letter == '-') {
            continue;
        }
        let sides = ["left", "right", "top", "bottom", "width", "height"];
        let physical = name.split('-').any(|part| sides.contains(&part))
            && !["line-height", "border-width"].contains(&name);
        let aligned = ["text-align", "float"].contains(&name) && ["left", "right"].contains(&value.trim());
        assert!(!physical && !aligned, "{declaration} is for one direction of writing");
    }
}

/// Words that begin with one of `starts`, where the letter before passes.
fn words(text: &str, starts: &[&str], before: impl Fn(char) -> bool) -> Names {
    let mut found = Names::new();
    for start in starts {
        for (at, _) in text.match_indices(start) {
            if !before(text[..at].chars().next_back().unwrap_or(' ')) {
                continue;
            }
            let word =
                text[at..].split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '-').next();
            found.insert(word.unwrap_or_default().trim_end_matches('-').to_owned());
        }
    }
    found
}

#[test]
fn every_class_and_property_is_documented_and_none_that_is_not_there() {
    let (css, page) = (stylesheet(), read("docs/theming.md"));
    let names = ["liveop", "site"];
    let is_class = |name: &String| {
        name == "liveop" || name == "site" || name.contains('-') && !name.starts_with("liveops")
    };
    let mut used = words(&css, &names, |before| before == '.');
    let scripts = ["liveops", "page", "site"].map(|name| read(&format!("assets/{name}.js"))).concat();
    used.extend(words(&scripts, &names, |before| before == '.'));
    // In a class attribute, and where a script writes one.
    let written = all("templates") + &all("src/render") + &scripts;
    let quoted = words(&written, &["liveop-", "site-"], |before| ['"', ' ', '}'].contains(&before));
    used.extend(quoted);
    used.retain(is_class);
    let mut told = words(&page, &names, |before| before == '.');
    told.retain(is_class);
    assert_eq!(told.difference(&used).collect::<Vec<_>>(), Vec::<&String>::new(), "told, but not there");
    assert_eq!(used.difference(&told).collect::<Vec<_>>(), Vec::<&String>::new(), "there, but not told");

    let properties = |text: &str| words(text, &["--liveop-"], |_| true);
    assert_eq!(properties(&page), properties(&css), "the custom properties");
}
