//! Searches one stream, as it is and, if it is compressed, decompressed.

use super::findings::{Findings, Place, Within};
use super::kind::Kind;
use super::watched::Watched;
use super::zstd_frames::ZstdFrames;
use crate::leaks::{Hit, Needles, Search};
use flate2::read::MultiGzDecoder;
use std::cell::{Cell, RefCell};
use std::io::{self, ErrorKind, Read};
use tar::Archive;

/// A search under way.
pub struct Sweep<'n> {
    needles: &'n Needles,
    budget: &'n Cell<u64>,
    findings: Findings,
}

impl<'n> Sweep<'n> {
    /// A search of at most `budget` bytes.
    pub fn new(needles: &'n Needles, budget: &'n Cell<u64>) -> Self {
        Self { needles, budget, findings: Findings::default() }
    }

    pub fn end(self) -> Findings {
        self.findings
    }

    /// Searches a name.
    pub fn name(&mut self, part: &str, file: Option<&str>, name: &[u8]) {
        let mut hits = Vec::new();
        Search::new(self.needles).feed(name, |hit| hits.push(hit));
        self.note(hits, part, file, Within::Name, 0);
    }

    /// Searches a part of an image: decompresses it, and reports the files of an archive separately. Returns the kind of its
    /// decompressed contents. A part that cannot be read completely is an error.
    pub fn part(&mut self, reader: &mut dyn Read, part: &str) -> io::Result<Kind> {
        self.part_within(reader, part, Within::Content)
    }

    fn part_within(&mut self, reader: &mut dyn Read, part: &str, within: Within) -> io::Result<Kind> {
        let hits = RefCell::new(Vec::new());
        let mut watched = Watched::new(reader, self.needles, &hits, self.budget);
        let looked = self.opened_part(&mut watched, part, within, &hits);
        let looked = looked.and_then(|kind| drain(&mut watched).map(|()| kind));
        self.note(hits.into_inner(), part, None, within, 0);
        looked
    }

    fn opened_part(
        &mut self,
        watched: &mut Watched<'_>,
        part: &str,
        within: Within,
        hits: &RefCell<Vec<Hit>>,
    ) -> io::Result<Kind> {
        let (kind, mut stream) = Kind::peek(watched)?;
        match kind {
            Kind::Gzip if within == Within::Content => {
                self.part_within(&mut MultiGzDecoder::new(stream), part, Within::Unpacked)
            }
            Kind::Zstd if within == Within::Content => {
                self.part_within(&mut ZstdFrames::new(stream), part, Within::Unpacked)
            }
            Kind::Tar => self.archive(&mut stream, part, hits).map(|()| kind),
            _ => Ok(kind),
        }
    }

    /// Searches an archive while it is read. Findings name the file in the archive.
    fn archive(&mut self, reader: &mut dyn Read, part: &str, hits: &RefCell<Vec<Hit>>) -> io::Result<()> {
        let mut archive = Archive::new(reader);
        for entry in archive.entries()? {
            let mut entry = entry?;
            let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            self.name(part, Some(&path), &entry.path_bytes());
            if let Some(link) = entry.link_name_bytes() {
                self.name(part, Some(&path), &link);
            }
            let start = entry.raw_file_position();
            let looked = self.opened_file(&mut entry, part, Some(&path)).and_then(|()| drain(&mut entry));
            // The headers before the file's contents were read since the previous file.
            let (headers, contents): (Vec<_>, Vec<_>) = hits.take().into_iter().partition(|hit| hit.start < start);
            self.note(headers, part, Some(&path), Within::Header, 0);
            self.note(contents, part, Some(&path), Within::Content, start);
            looked?;
        }
        Ok(())
    }

    /// Searches a file outside of archives.
    pub fn file(&mut self, reader: &mut dyn Read, path: &str) -> io::Result<()> {
        let hits = RefCell::new(Vec::new());
        let mut watched = Watched::new(reader, self.needles, &hits, self.budget);
        let looked = self.opened_file(&mut watched, path, None).and_then(|()| drain(&mut watched));
        self.note(hits.into_inner(), path, None, Within::Content, 0);
        looked
    }

    /// Searches a file while it is read, and decompresses it one level deep. If it is corrupt, the part that could be
    /// decompressed is searched.
    fn opened_file(&mut self, content: &mut dyn Read, part: &str, file: Option<&str>) -> io::Result<()> {
        let (kind, stream) = Kind::peek(content)?;
        let looked = match kind {
            Kind::Gzip => self.unpacked_file(&mut MultiGzDecoder::new(stream), part, file),
            Kind::Zstd => self.unpacked_file(&mut ZstdFrames::new(stream), part, file),
            Kind::Closed => {
                self.findings.closed += 1;
                Ok(())
            }
            Kind::Tar | Kind::Plain => Ok(()),
        };
        if self.budget.get() == 0 { looked } else { Ok(()) }
    }

    fn unpacked_file(&mut self, reader: &mut dyn Read, part: &str, file: Option<&str>) -> io::Result<()> {
        let hits = RefCell::new(Vec::new());
        let looked = drain(&mut Watched::new(reader, self.needles, &hits, self.budget));
        self.note(hits.into_inner(), part, file, Within::Unpacked, 0);
        looked
    }

    fn note(&mut self, hits: Vec<Hit>, part: &str, file: Option<&str>, within: Within, start: u64) {
        for hit in hits {
            let place = Place { part: part.to_owned(), file: file.map(str::to_owned), within };
            let (name, form) = self.needles.describe(hit.text);
            self.findings.add(place, name, form, hit.start - start);
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
