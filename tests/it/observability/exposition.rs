//! A parser for the text exposition as Prometheus reads it, so that tests use families and series instead of
//! lines.

use std::collections::{BTreeMap, BTreeSet};

/// The parsed text of `/metrics`.
pub struct Exposition {
    families: BTreeMap<String, Family>,
}

/// A family.
#[derive(Default)]
pub struct Family {
    pub kind: String,
    pub help: String,
    pub series: Vec<Series>,
}

/// A series. The series of a histogram have a suffix in their names.
pub struct Series {
    pub name: String,
    pub labels: BTreeMap<String, String>,
    pub value: f64,
}

impl Series {
    /// Its name and labels, as one text.
    pub fn identity(&self) -> String {
        format!("{} {:?}", self.name, self.labels)
    }
}

impl Exposition {
    /// Parses the format; any error fails the test.
    pub fn read(text: &str) -> Self {
        let mut families: BTreeMap<String, Family> = BTreeMap::new();
        let mut current = String::new();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').unwrap();
                name.clone_into(&mut current);
                assert!(!families.contains_key(name), "{name} occurs twice");
                families.insert(current.clone(), Family { help: help.to_owned(), ..Family::default() });
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').unwrap();
                assert_eq!(name, current);
                kind.clone_into(&mut families.get_mut(name).unwrap().kind);
            } else {
                let series = series(line);
                let family = families.get_mut(&current).unwrap();
                let suffix = series.name.strip_prefix(current.as_str()).unwrap();
                assert_eq!(family.kind == "histogram", !suffix.is_empty(), "{line}");
                family.series.push(series);
            }
        }
        Self { families }
    }

    /// The names of all families.
    pub fn names(&self) -> BTreeSet<String> {
        self.families.keys().cloned().collect()
    }

    /// A family that must exist.
    pub fn family(&self, name: &str) -> &Family {
        self.families.get(name).unwrap_or_else(|| panic!("no {name}"))
    }

    /// Every series of every family.
    pub fn all_series(&self) -> impl Iterator<Item = &Series> {
        self.families.values().flat_map(|family| &family.series)
    }
}

/// `name{a="b"} 1`; the broker's label values contain no quotes.
fn series(line: &str) -> Series {
    let (series, value) = line.rsplit_once(' ').unwrap();
    let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
    let labels = labels.strip_suffix('}').unwrap();
    let label = |pair: &str| {
        let (name, value) = pair.split_once('=').unwrap();
        (name.to_owned(), value.strip_prefix('"').unwrap().strip_suffix('"').unwrap().to_owned())
    };
    let labels = labels.split(',').filter(|pair| !pair.is_empty()).map(label).collect();
    Series { name: name.to_owned(), labels, value: value.parse().unwrap() }
}
