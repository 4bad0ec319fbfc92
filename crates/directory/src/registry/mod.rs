//! Registers (注册) of institutions (机构), staff (卫生人员) and what belongs to them, driven by `catalog/registry`.

mod staff_names;
mod staff_register;

/// Held while versions are written, so that their numbers come in the order of commits and the change feed loses none.
pub(crate) const LOCK: i64 = 0x6d69_6e6b_616e_6711;
