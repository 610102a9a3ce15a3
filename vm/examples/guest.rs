//! Boots a guest on an ext4 image and runs a command in it: `guest IMAGE COMMAND [ARGUMENT]...`

use std::io::Write;
use std::sync::Arc;

use forger_block::{FileReader, Overlay};
use forger_vm::{Disk, Event, Guest, Job, Options, uml::Uml};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut words = std::env::args().skip(1);
    let image = words.next().ok_or("usage: guest IMAGE COMMAND...")?;
    let argv: Vec<Vec<u8>> = words.map(String::into_bytes).collect();
    let backend = Uml {
        kernel: "/usr/bin/linux.uml".into(),
        memory_folders: vec!["/dev/shm".into(), "/tmp".into()],
        serve_disks: std::env::var_os("SERVE").is_some(),
    };
    // What the guest writes is kept in memory; the image stays as it is.
    let base = Arc::new(FileReader::open(image)?);
    let root = Disk {
        store: Arc::new(Overlay::in_memory(base, 1 << 30)),
        read_only: false,
    };
    let options = Options {
        root: Some(root),
        ..Options::default()
    };
    let guest = Guest::boot(&backend, options)?;
    let env = vec![b"PATH=/usr/sbin:/usr/bin:/sbin:/bin".to_vec()];
    let job = Job {
        argv,
        env,
        ..Job::default()
    };
    let process = guest.run(&job)?;
    loop {
        match process.next()? {
            Event::Stdout(bytes) => std::io::stdout().write_all(&bytes)?,
            Event::Stderr(bytes) => std::io::stderr().write_all(&bytes)?,
            Event::Exit(ended) => {
                eprintln!("{ended:?}");
                break;
            }
            _ => {}
        }
    }
    guest.shut_down()?;
    Ok(())
}
