//! The OVF descriptor: which virtual machine it is, and which file its disk.
//!
//! DMTF's DSP0243, version 1.0 of the envelope.

use super::error::{ReadError, WriteError};
use super::options::{Firmware, Options};
use crate::xml::{Element, each_element, escaped};

/// The format of the disk that is written.
const STREAM_OPTIMIZED: &str =
    "http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized";

/// Names of the files of a machine.
#[derive(Clone, Debug)]
pub(super) struct Names {
    pub(super) descriptor: String,
    pub(super) disk: String,
    pub(super) manifest: String,
}

impl Names {
    /// Returns the names for a machine: of letters, digits, points and hyphens, whatever it is called.
    ///
    /// # Errors
    /// [`WriteError::Name`].
    pub(super) fn of(name: &str) -> Result<Self, WriteError> {
        let plain: String = name
            .chars()
            .map(
                |letter| match letter.is_ascii_alphanumeric() || "._".contains(letter) {
                    true => letter,
                    false => '-',
                },
            )
            .collect();
        if plain.is_empty() || plain.len() > 80 || name.chars().any(char::is_control) {
            let name = name.to_owned();
            return Err(WriteError::Name { name });
        }
        Ok(Self {
            descriptor: format!("{plain}.ovf"),
            disk: format!("{plain}-disk1.vmdk"),
            manifest: format!("{plain}.mf"),
        })
    }
}

/// Returns the descriptor of a machine, always as long whatever the length of its disk's file.
pub(super) fn write(
    options: &Options,
    firmware: Firmware,
    capacity: u64,
    (disk, file_len): (&str, u64),
) -> String {
    let longest = text(options, firmware, capacity, (disk, u64::MAX));
    let mut text = text(options, firmware, capacity, (disk, file_len));
    while text.len() < longest.len() {
        text.push('\n');
    }
    text
}

fn text(
    options: &Options,
    firmware: Firmware,
    capacity: u64,
    (file, file_len): (&str, u64),
) -> String {
    let name = escaped(&options.name);
    let Options { cpus, memory, .. } = options;
    let firmware = match firmware {
        Firmware::Bios => "",
        Firmware::Efi => {
            "      <vmw:Config ovf:required=\"false\" vmw:key=\"firmware\" vmw:value=\"efi\"/>\n"
        }
    };
    format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<Envelope ovf:version="1.0" xml:lang="en-US" xmlns="http://schemas.dmtf.org/ovf/envelope/1" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1" xmlns:rasd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData" xmlns:vssd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_VirtualSystemSettingData" xmlns:vmw="http://www.vmware.com/schema/ovf">
  <References>
    <File ovf:id="file1" ovf:href="{file}" ovf:size="{file_len}"/>
  </References>
  <DiskSection>
    <Info>The disks</Info>
    <Disk ovf:diskId="vmdisk1" ovf:capacity="{capacity}" ovf:capacityAllocationUnits="byte" ovf:fileRef="file1" ovf:format="{STREAM_OPTIMIZED}"/>
  </DiskSection>
  <NetworkSection>
    <Info>The networks</Info>
    <Network ovf:name="VM Network">
      <Description>The network of the machine</Description>
    </Network>
  </NetworkSection>
  <VirtualSystem ovf:id="{name}">
    <Info>A virtual machine</Info>
    <Name>{name}</Name>
    <OperatingSystemSection ovf:id="101" vmw:osType="otherLinux64Guest">
      <Info>The operating system</Info>
    </OperatingSystemSection>
    <VirtualHardwareSection>
      <Info>The hardware</Info>
      <System>
        <vssd:ElementName>Virtual Hardware Family</vssd:ElementName>
        <vssd:InstanceID>0</vssd:InstanceID>
        <vssd:VirtualSystemIdentifier>{name}</vssd:VirtualSystemIdentifier>
        <vssd:VirtualSystemType>vmx-10</vssd:VirtualSystemType>
      </System>
      <Item>
        <rasd:AllocationUnits>hertz * 10^6</rasd:AllocationUnits>
        <rasd:ElementName>{cpus} processors</rasd:ElementName>
        <rasd:InstanceID>1</rasd:InstanceID>
        <rasd:ResourceType>3</rasd:ResourceType>
        <rasd:VirtualQuantity>{cpus}</rasd:VirtualQuantity>
      </Item>
      <Item>
        <rasd:AllocationUnits>byte * 2^20</rasd:AllocationUnits>
        <rasd:ElementName>{memory} MiB of memory</rasd:ElementName>
        <rasd:InstanceID>2</rasd:InstanceID>
        <rasd:ResourceType>4</rasd:ResourceType>
        <rasd:VirtualQuantity>{memory}</rasd:VirtualQuantity>
      </Item>
      <Item>
        <rasd:Address>0</rasd:Address>
        <rasd:ElementName>SCSI controller 0</rasd:ElementName>
        <rasd:InstanceID>3</rasd:InstanceID>
        <rasd:ResourceSubType>lsilogic</rasd:ResourceSubType>
        <rasd:ResourceType>6</rasd:ResourceType>
      </Item>
      <Item>
        <rasd:AddressOnParent>0</rasd:AddressOnParent>
        <rasd:ElementName>Disk 1</rasd:ElementName>
        <rasd:HostResource>ovf:/disk/vmdisk1</rasd:HostResource>
        <rasd:InstanceID>4</rasd:InstanceID>
        <rasd:Parent>3</rasd:Parent>
        <rasd:ResourceType>17</rasd:ResourceType>
      </Item>
      <Item>
        <rasd:AddressOnParent>7</rasd:AddressOnParent>
        <rasd:AutomaticAllocation>true</rasd:AutomaticAllocation>
        <rasd:Connection>VM Network</rasd:Connection>
        <rasd:ElementName>Ethernet 1</rasd:ElementName>
        <rasd:InstanceID>5</rasd:InstanceID>
        <rasd:ResourceSubType>E1000</rasd:ResourceSubType>
        <rasd:ResourceType>10</rasd:ResourceType>
      </Item>
{firmware}    </VirtualHardwareSection>
  </VirtualSystem>
</Envelope>
"#
    )
}

/// Returns the name of the file that holds the machine's disk.
///
/// # Errors
/// A descriptor that is malformed, names no disk or several, or one in pieces.
pub(super) fn disk_file(text: &str) -> Result<String, ReadError> {
    let unsupported = |what: &str| ReadError::Unsupported {
        what: what.to_owned(),
    };
    let mut files: Vec<(String, String)> = Vec::new();
    let mut disks: Vec<String> = Vec::new();
    let mut is_envelope = false;
    each_element(text, |element: &Element| {
        let attribute = |name| element.attribute(name).map(str::to_owned);
        match element.name.as_str() {
            "File" => {
                let compressed = attribute("compression");
                if attribute("chunkSize").is_some()
                    || compressed.is_some_and(|kind| kind != "identity")
                {
                    return Err(unsupported("a disk in pieces or compressed once more"));
                }
                files.extend(attribute("id").zip(attribute("href")));
            }
            "Disk" => {
                if attribute("parentRef").is_some() {
                    return Err(unsupported("a disk that builds on another one"));
                }
                disks.extend(attribute("fileRef"));
            }
            "Envelope" => is_envelope = true,
            _ => {}
        }
        Ok(())
    })?;
    match disks.as_slice() {
        _ if !is_envelope => Err(ReadError::NotOva),
        [] => Err(unsupported("a machine without a disk")),
        [id] => files
            .into_iter()
            .find(|(file, _)| file == id)
            .map(|(_, href)| href)
            .ok_or_else(|| ReadError::Missing { name: id.clone() }),
        more => Err(unsupported(&format!("a machine with {} disks", more.len()))),
    }
}
