//! Changes an image in place: `cargo run -p forger-fs --example edit_image IMAGE NAME TEXT`
//!
//! Puts a file of the text under the name, in one transaction with a symlink to it, and prints what
//! was done. An interruption at any moment leaves both or neither, once the image's journal is
//! replayed.

use std::error::Error;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use forger_fs::ext4::Editor;
use forger_fs::tree::{Meta, Time};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let [image, name, text] = arguments.as_slice() else {
        return Err("usage: edit_image IMAGE NAME TEXT".into());
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
    let time = Time::from_sec(i64::try_from(now.as_secs())?);
    // The image is locked from here on; nothing in it changes before the commit.
    let mut editor = Editor::open(image, time)?;
    let meta = Meta {
        mode: 0o644,
        ..Meta::default()
    };
    let content = text.as_bytes().to_vec();
    editor.put(name.as_bytes(), &meta, Arc::new(content))?;
    let link = [name.as_bytes(), b".link"].concat();
    editor.symlink(name.as_bytes(), &link, &meta)?;
    let done = editor.commit()?;
    println!("{:?}, {} blocks of metadata", done.way, done.blocks);
    Ok(())
}
