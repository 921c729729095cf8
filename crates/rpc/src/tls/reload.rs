//! Certificates that are renewed under a running node.
//!
//! Each new connection asks for the current files, so a renewed certificate is used from the next connection on, and
//! connections that stand are not cut. Files that cannot be used leave those in use as they are.

use super::{Identity, TlsError, TlsFiles};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

/// The current files of one holder.
#[derive(Debug)]
pub struct ReloadableTls {
    dir: PathBuf,
    name: String,
    current: RwLock<Arc<TlsFiles>>,
}

impl ReloadableTls {
    /// Reads the files of `name` in the folder `dir`.
    ///
    /// # Errors
    /// As [`TlsFiles::load`].
    pub fn load(dir: &Path, name: &str) -> Result<Self, TlsError> {
        let current = RwLock::new(Arc::new(TlsFiles::load(dir, name)?));
        Ok(Self { dir: dir.to_owned(), name: name.to_owned(), current })
    }

    /// What the next connection uses.
    #[must_use]
    pub fn current(&self) -> Arc<TlsFiles> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads the files again, and says whose they are and until when.
    ///
    /// # Errors
    /// As [`TlsFiles::load`], or if the new files are of another cluster; the files in use stay in use.
    pub fn reload(&self) -> Result<Identity, TlsError> {
        let fresh = TlsFiles::load(&self.dir, &self.name)?;
        fresh.check_cluster(&self.current().identity().cluster)?;
        let identity = fresh.identity().clone();
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(fresh);
        Ok(identity)
    }
}
