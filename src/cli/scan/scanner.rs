//! Searches streams for values, and also their decompressed contents.

use super::content_kind::ContentKind;
use super::findings::{FilePart, Findings, Location};
use super::searching_reader::SearchingReader;
use super::zstd_frames::ZstdFrames;
use crate::leaks::{Hit, Needles, Search};
use flate2::read::MultiGzDecoder;
use std::cell::{Cell, RefCell};
use std::io::{self, ErrorKind, Read};
use tar::Archive;

/// A search in progress, and its findings.
pub struct Scanner<'n> {
    needles: &'n Needles,
    budget: &'n Cell<u64>,
    findings: Findings,
}

impl<'n> Scanner<'n> {
    /// `budget` is the number of bytes that may still be searched. It is counted down; at 0 the search fails.
    pub fn new(needles: &'n Needles, budget: &'n Cell<u64>) -> Self {
        Self { needles, budget, findings: Findings::default() }
    }

    pub fn into_findings(self) -> Findings {
        self.findings
    }

    /// Searches a name.
    pub fn search_name(&mut self, part: &str, file: Option<&str>, name: &[u8]) {
        let mut hits = Vec::new();
        Search::new(self.needles).feed(name, |hit| hits.push(hit));
        self.add_findings(hits, part, file, FilePart::Name, 0);
    }

    /// Searches a part of an image, and its decompressed contents. Findings in an archive name the file. Returns the kind of the
    /// decompressed contents. Fails if the part cannot be read completely.
    pub fn search_part(&mut self, reader: &mut dyn Read, part: &str) -> io::Result<ContentKind> {
        self.search_part_as(reader, part, FilePart::Content)
    }

    fn search_part_as(&mut self, reader: &mut dyn Read, part: &str, file_part: FilePart) -> io::Result<ContentKind> {
        let hits = RefCell::new(Vec::new());
        let mut stream = SearchingReader::new(reader, self.needles, &hits, self.budget);
        let result = self.search_part_contents(&mut stream, part, file_part, &hits);
        let result = result.and_then(|kind| drain(&mut stream).map(|()| kind));
        self.add_findings(hits.into_inner(), part, None, file_part, 0);
        result
    }

    fn search_part_contents(
        &mut self,
        stream: &mut SearchingReader<'_>,
        part: &str,
        file_part: FilePart,
        hits: &RefCell<Vec<Hit>>,
    ) -> io::Result<ContentKind> {
        let (kind, mut contents) = ContentKind::peek(stream)?;
        match kind {
            ContentKind::Gzip if file_part == FilePart::Content => {
                self.search_part_as(&mut MultiGzDecoder::new(contents), part, FilePart::Unpacked)
            }
            ContentKind::Zstd if file_part == FilePart::Content => {
                self.search_part_as(&mut ZstdFrames::new(contents), part, FilePart::Unpacked)
            }
            ContentKind::Tar => self.search_archive(&mut contents, part, hits).map(|()| kind),
            _ => Ok(kind),
        }
    }

    /// Searches an archive while reading it. Findings name the file in the archive.
    fn search_archive(&mut self, reader: &mut dyn Read, part: &str, hits: &RefCell<Vec<Hit>>) -> io::Result<()> {
        let mut archive = Archive::new(reader);
        for entry in archive.entries()? {
            let mut entry = entry?;
            let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            self.search_name(part, Some(&path), &entry.path_bytes());
            if let Some(link) = entry.link_name_bytes() {
                self.search_name(part, Some(&path), &link);
            }
            let start = entry.raw_file_position();
            let result = self.search_file_contents(&mut entry, part, Some(&path)).and_then(|()| drain(&mut entry));
            // Read since the previous file: the headers of this file, and then its contents.
            let (headers, contents): (Vec<_>, Vec<_>) = hits.take().into_iter().partition(|hit| hit.start < start);
            self.add_findings(headers, part, Some(&path), FilePart::Header, 0);
            self.add_findings(contents, part, Some(&path), FilePart::Content, start);
            result?;
        }
        Ok(())
    }

    /// Searches a file outside of archives.
    pub fn search_file(&mut self, reader: &mut dyn Read, path: &str) -> io::Result<()> {
        let hits = RefCell::new(Vec::new());
        let mut stream = SearchingReader::new(reader, self.needles, &hits, self.budget);
        let result = self.search_file_contents(&mut stream, path, None).and_then(|()| drain(&mut stream));
        self.add_findings(hits.into_inner(), path, None, FilePart::Content, 0);
        result
    }

    /// Searches a file while reading it, and its contents after one decompression. A corrupt file is searched as far as it can
    /// be decompressed.
    fn search_file_contents(&mut self, content: &mut dyn Read, part: &str, file: Option<&str>) -> io::Result<()> {
        let (kind, stream) = ContentKind::peek(content)?;
        let result = match kind {
            ContentKind::Gzip => self.search_unpacked(&mut MultiGzDecoder::new(stream), part, file),
            ContentKind::Zstd => self.search_unpacked(&mut ZstdFrames::new(stream), part, file),
            ContentKind::Unsupported => {
                self.findings.unsupported += 1;
                Ok(())
            }
            ContentKind::Tar | ContentKind::Plain => Ok(()),
        };
        // Unless the budget is used up, an error means a corrupt file.
        if self.budget.get() == 0 { result } else { Ok(()) }
    }

    fn search_unpacked(&mut self, reader: &mut dyn Read, part: &str, file: Option<&str>) -> io::Result<()> {
        let hits = RefCell::new(Vec::new());
        let result = drain(&mut SearchingReader::new(reader, self.needles, &hits, self.budget));
        self.add_findings(hits.into_inner(), part, file, FilePart::Unpacked, 0);
        result
    }

    fn add_findings(&mut self, hits: Vec<Hit>, part: &str, file: Option<&str>, file_part: FilePart, start: u64) {
        for hit in hits {
            let location = Location { part: part.to_owned(), file: file.map(str::to_owned), file_part };
            let (name, form) = self.needles.describe(hit.needle);
            self.findings.add(location, name, form, hit.start - start);
        }
    }
}

/// Reads to the end, so that all bytes are searched.
fn drain(reader: &mut dyn Read) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
