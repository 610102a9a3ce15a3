//! The tables by which a kernel knows its processors and devices.
//!
//! [ACPI 6.5](https://uefi.org/specs/ACPI/6.5/), chapters 4 (reduced hardware), 5 (tables), 19 (AML). There is no
//! hardware of ACPI's own but the registers for sleep and reset.

use acpi_tables::Aml;
use acpi_tables::aml::{
    self, Device, EISAName, IO, Interrupt, Memory32Fixed, Name, Package, Path, ResourceTemplate,
    Scope,
};
use acpi_tables::fadt::{FADTBuilder, Flags};
use acpi_tables::gas::{AccessSize, AddressSpace, GAS};
use acpi_tables::madt::{
    EnabledStatus, IoApic, LocalInterruptController, MADT, ProcessorLocalApic,
};
use acpi_tables::rsdp::Rsdp;
use acpi_tables::sdt::Sdt;
use acpi_tables::xsdt::XSDT;
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

use super::layout::{
    ACPI, FIRMWARE, FIRST_LINE, IO_APIC, LOCAL_APIC, REGISTERS, REGISTERS_LEN, SERIAL_LINE,
};
use super::ports::{OFF, PANIC, RESET, RESET_VALUE, SERIAL, SLEEP, SLEEP_STATUS};
use crate::error::Error;

/// Who made the tables.
const OEM: [u8; 6] = *b"FORGER";
const OEM_TABLE: [u8; 8] = *b"FORGERVM";
const REVISION: u32 = 1;

/// FADT, `IAPC_BOOT_ARCH`: there is no VGA, no MSI, no ASPM, no clock in CMOS; and no keyboard controller and no other
/// old device, whose bits are not set.
const NOTHING_OLD: u16 = (1 << 2) | (1 << 3) | (1 << 4) | (1 << 5);

/// Writes all tables.
pub(super) fn write(memory: &GuestMemoryMmap, cpus: u32, devices: u32) -> Result<(), Error> {
    let mut at = ACPI;
    // The root pointer comes first, and is as long as this.
    at += 64;
    let mut put = |bytes: &[u8]| {
        let here = at;
        at = (at + bytes.len() as u64).next_multiple_of(16);
        match at <= FIRMWARE {
            true => memory
                .write_slice(bytes, GuestAddress(here))
                .map(|()| here)
                .map_err(|error| failed(std::io::Error::other(error))),
            false => Err(failed(std::io::Error::other("they are too long"))),
        }
    };
    let dsdt = put(dsdt(devices).as_slice())?;
    let fadt = put(&bytes(&fadt(dsdt)))?;
    let madt = put(&bytes(&madt(cpus)))?;
    let mut xsdt = XSDT::new(OEM, OEM_TABLE, REVISION);
    xsdt.add_entry(fadt);
    xsdt.add_entry(madt);
    let xsdt = put(&bytes(&xsdt))?;
    memory
        .write_slice(&bytes(&Rsdp::new(OEM, xsdt)), GuestAddress(ACPI))
        .map_err(|error| failed(std::io::Error::other(error)))
}

fn failed(error: std::io::Error) -> Error {
    Error::host("write the machine's tables", error)
}

fn bytes(table: &dyn Aml) -> Vec<u8> {
    let mut bytes = Vec::new();
    table.to_aml_bytes(&mut bytes);
    bytes
}

/// The fixed description: where the registers for sleep and reset are.
fn fadt(dsdt: u64) -> impl Aml {
    let register = |port: u16| {
        GAS::new(
            AddressSpace::SystemIo,
            8,
            0,
            AccessSize::ByteAccess,
            port.into(),
        )
    };
    let mut fadt = FADTBuilder::new(OEM, OEM_TABLE, REVISION)
        .dsdt_64(dsdt)
        .flag(Flags::HwReducedAcpi)
        .flag(Flags::ResetRegSup)
        .flag(Flags::PwrButton)
        .flag(Flags::SlpButton);
    fadt.iapc_boot_arch = NOTHING_OLD.into();
    fadt.reset_reg = register(RESET);
    fadt.reset_value = RESET_VALUE;
    fadt.sleep_control_reg = register(SLEEP);
    fadt.sleep_status_reg = register(SLEEP_STATUS);
    fadt.finalize()
}

/// Interrupt controllers: one for each processor, one for the machine.
fn madt(cpus: u32) -> MADT {
    let address = LocalInterruptController::Address(LOCAL_APIC);
    let mut madt = MADT::new(OEM, OEM_TABLE, REVISION, address);
    for number in 0..u8::try_from(cpus).unwrap_or(u8::MAX) {
        madt.add_structure(ProcessorLocalApic::new(
            number,
            number,
            EnabledStatus::Enabled,
        ));
    }
    madt.add_structure(IoApic::new(0, IO_APIC, 0));
    madt
}

/// Devices, as code for the kernel's interpreter.
fn dsdt(devices: u32) -> Sdt {
    let mut code = Vec::new();
    let off = Package::new(vec![&OFF, &0_u8, &0_u8, &0_u8]);
    Name::new(Path::new("_S5_"), &off).to_aml_bytes(&mut code);
    let (serial, panic) = (serial(), panic());
    let devices: Vec<Vec<u8>> = (0..devices).map(device).collect();
    let devices: Vec<Encoded<'_>> = devices.iter().map(|bytes| Encoded(bytes)).collect();
    let (serial, panic) = (Encoded(&serial), Encoded(&panic));
    let mut children: Vec<&dyn Aml> = vec![&serial, &panic];
    children.extend(devices.iter().map(|device| device as &dyn Aml));
    Scope::new(Path::new("_SB_"), children).to_aml_bytes(&mut code);
    let mut dsdt = Sdt::new(*b"DSDT", 36, 2, OEM, OEM_TABLE, REVISION);
    dsdt.append_slice(&code);
    dsdt.update_checksum();
    dsdt
}

/// Code that was encoded before.
struct Encoded<'a>(&'a [u8]);

impl Aml for Encoded<'_> {
    fn to_aml_bytes(&self, sink: &mut dyn acpi_tables::AmlSink) {
        sink.vec(self.0);
    }
}

fn serial() -> Vec<u8> {
    let ports = IO::new(SERIAL, SERIAL, 1, 8);
    let line = Interrupt::new(true, true, false, false, SERIAL_LINE);
    bytes(&Device::new(
        Path::new("COM1"),
        vec![
            &Name::new(Path::new("_HID"), &EISAName::new("PNP0501")),
            &Name::new(Path::new("_UID"), &aml::ZERO),
            &Name::new(
                Path::new("_CRS"),
                &ResourceTemplate::new(vec![&ports, &line]),
            ),
        ],
    ))
}

/// What a kernel tells that it panicked.
fn panic() -> Vec<u8> {
    let port = IO::new(PANIC, PANIC, 1, 1);
    bytes(&Device::new(
        Path::new("PEVT"),
        vec![
            &Name::new(Path::new("_HID"), &"QEMU0001"),
            &Name::new(Path::new("_CRS"), &ResourceTemplate::new(vec![&port])),
        ],
    ))
}

/// A virtio device behind registers in memory.
fn device(number: u32) -> Vec<u8> {
    let len = u32::try_from(REGISTERS_LEN).unwrap_or(0);
    let start = u32::try_from(REGISTERS).unwrap_or(0) + number * len;
    let registers = Memory32Fixed::new(true, start, len);
    let line = Interrupt::new(true, true, false, false, FIRST_LINE + number);
    bytes(&Device::new(
        Path::new(&format!("V{number:03}")),
        vec![
            &Name::new(Path::new("_HID"), &"LNRO0005"),
            &Name::new(Path::new("_UID"), &number),
            // What the device reads and writes is what the processor's caches hold.
            &Name::new(Path::new("_CCA"), &aml::ONE),
            &Name::new(
                Path::new("_CRS"),
                &ResourceTemplate::new(vec![&registers, &line]),
            ),
        ],
    ))
}
