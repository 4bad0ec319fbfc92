//! What a machine client is limited to: some data sets of its institution, where an administrator said so.

use catalog::{Catalog, Dataset};
use kernel::{Caller, Refusal};

/// Refuses to take in what the caller is not to send. `None` is FHIR, which feeds several data sets at once.
pub fn may_send(caller: &Caller, dataset: Option<&Dataset>) -> Result<(), Refusal> {
    let Some(own) = &caller.datasets else { return Ok(()) };
    match dataset {
        Some(dataset) if own.contains(&dataset.code) => Ok(()),
        Some(dataset) => Err(Refusal::forbidden(
            "batch.dataset_not_yours",
            format!(
                "这个接入客户端不能上传“{}”：平台只为它开通了部分数据集。如需开通，请联系平台管理员。",
                dataset.name
            ),
        )),
        None => Err(Refusal::forbidden(
            "batch.fhir_not_yours",
            "这个接入客户端只开通了部分数据集，不能用 FHIR 上传（一次会写入多个数据集）。请按数据集上传，或联系平台管理员。",
        )),
    }
}

/// Numbers of the data sets whose batches the caller may look at; `None`: of all.
pub fn numbers(caller: &Caller, catalog: &Catalog) -> Option<Vec<i16>> {
    let own = caller.datasets.as_ref()?;
    Some(own.iter().filter_map(|code| catalog.dataset(code)).map(|dataset| dataset.number).collect())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use kernel::CallerKind;

    #[test]
    fn a_limited_client_sends_its_own_data_sets_only() {
        let catalog = catalog::shipped().unwrap();
        let (mine, other) = (&catalog.datasets[0], &catalog.datasets[1]);
        let all = Caller::blank(CallerKind::Client);
        let limited = Caller { datasets: Some(vec![mine.code.clone()]), ..Caller::blank(CallerKind::Client) };
        assert!(may_send(&all, Some(other)).is_ok() && may_send(&all, None).is_ok());
        assert!(may_send(&limited, Some(mine)).is_ok());
        assert_eq!(may_send(&limited, Some(other)).unwrap_err().code, "batch.dataset_not_yours");
        assert_eq!(may_send(&limited, None).unwrap_err().code, "batch.fhir_not_yours");
        assert_eq!(numbers(&all, &catalog), None);
        assert_eq!(numbers(&limited, &catalog), Some(vec![mine.number]));
    }
}
