//! A value that is built from files, and rebuilt when one of them changes.

use super::file_stamp::FileStamp;
use arc_swap::ArcSwap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

/// The stamp of each file. `None` for a file whose attributes cannot be read.
pub(super) fn file_stamps(files: &[PathBuf]) -> Vec<Option<FileStamp>> {
    files.iter().map(|file| FileStamp::read(file)).collect()
}

type Build<T> = fn(&[PathBuf]) -> Option<T>;

/// A value with the files that it is built from.
pub(super) struct FileValue<T> {
    owner: Box<str>,
    setting: &'static str,
    files: Vec<PathBuf>,
    build: Build<T>,
    current: ArcSwap<FileState<T>>,
}

struct FileState<T> {
    /// The stamps at the last read, whether the files were valid or not.
    stamps: Vec<Option<FileStamp>>,
    /// Whether the files were valid. If not they are read again, because the fault may have been the process's, for example too
    /// many open files.
    is_valid: bool,
    value: Arc<T>,
}

impl<T> FileValue<T> {
    /// Reads the files. `owner` and `setting` are for the log.
    ///
    /// # Errors
    /// The files are invalid.
    pub(super) fn open(owner: &str, setting: &'static str, files: Vec<PathBuf>, build: Build<T>) -> Result<Self, ()> {
        // Taken before the read, so that a file that is replaced in between is read again.
        let stamps = file_stamps(&files);
        let value = Arc::new(build(&files).ok_or(())?);
        let current = ArcSwap::from_pointee(FileState { stamps, is_valid: true, value });
        Ok(Self { owner: owner.into(), setting, files, build, current })
    }

    /// The current value. Reads the files only if a stamp has changed or they were invalid. Reading blocks, but takes less time than the TLS handshake
    /// that needs the value.
    pub(super) fn current(&self) -> Arc<T> {
        let last = self.current.load_full();
        let stamps = file_stamps(&self.files);
        if last.is_valid && stamps == last.stamps {
            return last.value.clone();
        }
        let is_repeated = !last.is_valid && stamps == last.stamps;
        self.rebuild(stamps, &last, is_repeated).0
    }

    /// Reads the files, whether changed or not.
    ///
    /// # Errors
    /// The files are invalid; the last valid value stays.
    pub(super) fn reload(&self) -> Result<(), ()> {
        let last = self.current.load_full();
        if self.rebuild(file_stamps(&self.files), &last, false).1 { Ok(()) } else { Err(()) }
    }

    /// Reads the files. Returns the current value, and whether the files were valid. A repeated fault is not logged again.
    fn rebuild(&self, stamps: Vec<Option<FileStamp>>, last: &FileState<T>, is_repeated: bool) -> (Arc<T>, bool) {
        let (owner, setting) = (&*self.owner, self.setting);
        let built = (self.build)(&self.files).map(Arc::new);
        let is_valid = built.is_some();
        if is_valid {
            tracing::info!(owner, setting, "certificates reloaded");
        } else if !is_repeated {
            tracing::error!(owner, setting, "certificate reload failed; keeping the previous certificates");
        }
        let value = built.unwrap_or_else(|| last.value.clone());
        self.current.store(Arc::new(FileState { stamps, is_valid, value: value.clone() }));
        (value, is_valid)
    }
}

impl<T> fmt::Debug for FileValue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileValue").field("owner", &self.owner).field("setting", &self.setting).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering};

    #[test]
    fn files_that_could_not_be_read_are_read_again_without_a_change() {
        static FAILS: AtomicBool = AtomicBool::new(false);
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ca.pem");
        std::fs::write(&file, "old").unwrap();
        let build = |files: &[PathBuf]| {
            (!FAILS.swap(false, Ordering::Relaxed)).then(|| std::fs::read_to_string(&files[0]).unwrap())
        };
        let value = FileValue::open("store", "caFile", vec![file.clone()], build).unwrap();
        std::fs::write(&file, "renewed").unwrap();
        FAILS.store(true, Ordering::Relaxed);
        assert_eq!(*value.current(), "old");
        assert_eq!(*value.current(), "renewed");
    }
}
