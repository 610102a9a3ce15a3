//! Which initial RAM disk a kernel gets beside those that are given.

use std::fmt;
use std::sync::Arc;

use forger_fs::ext4::Image;
use forger_fs::tree::Content;

use super::{Error, Initrd, Kernel, kernels};

/// What an initial RAM disk that was made is called where others have a path.
pub const BUILT: &str = "(built)";

/// Makes initial RAM disks for kernels of a root filesystem.
pub trait MakeInitrd: fmt::Debug + Send + Sync {
    /// Makes one with which a kernel reaches its root filesystem; none where the kernel does so by itself.
    ///
    /// # Errors
    /// Modules that are missing or cannot be read, and machines that it cannot be made for.
    fn make(
        &self,
        image: &Image,
        kernel: &Kernel,
    ) -> Result<Option<Content>, Box<dyn std::error::Error + Send + Sync>>;
}

/// Which initial RAM disk kernels get.
#[derive(Clone, Debug, Default)]
pub enum OwnInitrd {
    /// The root filesystem's; none where it has none for a kernel.
    #[default]
    Found,
    /// The root filesystem's, and one that is made where it has none.
    FoundOrBuilt(Arc<dyn MakeInitrd>),
    /// One that is made, whatever the root filesystem has.
    Built(Arc<dyn MakeInitrd>),
    /// None.
    None,
}

impl OwnInitrd {
    /// Returns the kernels of a root filesystem, the newest first, each with its initial RAM disks.
    ///
    /// # Errors
    /// A root filesystem that cannot be read; [`Error::Initrd`].
    pub fn kernels(&self, image: &Image) -> Result<Vec<Kernel>, Error> {
        let mut kernels = kernels(image)?;
        for kernel in &mut kernels {
            let maker = match self {
                Self::Found => continue,
                Self::None => {
                    kernel.initrds.clear();
                    continue;
                }
                Self::FoundOrBuilt(_) if !kernel.initrds.is_empty() => continue,
                Self::FoundOrBuilt(maker) | Self::Built(maker) => maker,
            };
            let made = maker.make(image, kernel).map_err(|source| Error::Initrd {
                version: kernel.version.clone(),
                source,
            })?;
            let built = |content| Initrd {
                path: BUILT.to_owned(),
                content,
            };
            kernel.initrds = made.map(built).into_iter().collect();
        }
        Ok(kernels)
    }
}
