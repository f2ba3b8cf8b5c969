/** Finds what to compare with: an earlier study of the same patient, and in it the slice at the same place. */

/** Why there is nothing to compare with, in words for the person. */
export class NoPrior extends Error {}

/**
 * The slice of the prior study that lies where the shown one lies in its stack: {study, series, instance, date, place,
 * count}. Asks through the viewer's own data source; `authorize` gives the headers of its login. Raises NoPrior.
 */
export async function findPrior(dataSource, authorize, shown) {
  if (!shown.patientId) throw new NoPrior('This patient has no ID, so earlier studies cannot be found.');
  const study = choosePriorStudy(await searchStudies(dataSource, shown), shown);
  if (!study) throw new NoPrior(`The archive has no earlier ${shown.modality} study of this patient.`);
  const series = chooseSeries(await dataSource.query.series.search(study.studyInstanceUid), shown);
  if (!series) throw new NoPrior(`The earlier study has no ${shown.modality} series.`);
  const instances = await listInstances(authorize, study.studyInstanceUid, series.seriesInstanceUid);
  if (!instances.length) throw new NoPrior('The earlier series has no images.');
  const index = matchPlace(shown.place, shown.count, instances.length);
  return {
    study: study.studyInstanceUid,
    series: series.seriesInstanceUid,
    instance: instances[index],
    date: study.date,
    place: index + 1,
    count: instances.length,
  };
}

/** The newest study of the modality that is not after the shown one; undated ones come last. */
export function choosePriorStudy(studies, { study, modality, patientId, date }) {
  return studies
    .filter(one => one.studyInstanceUid !== study && one.mrn === patientId)
    .filter(one => one.modalities.split(/[\\/,]/).includes(modality))
    .filter(one => !date || !one.date || one.date <= date)
    .sort((one, other) => (other.date ?? '').localeCompare(one.date ?? ''))[0];
}

/** The series of the modality with the same description, else the one with most images. */
export function chooseSeries(series, { modality, description }) {
  const suitable = series.filter(one => one.modality === modality);
  const named = suitable.filter(one => description && one.description === description);
  const most = (one, other) => (other.numSeriesInstances || 0) - (one.numSeriesInstances || 0);
  return (named.length ? named : suitable).sort(most)[0];
}

/** The index, from 0, that lies as far along `others` images as `place`, from 1, does along `count`. */
export function matchPlace(place, count, others) {
  return count < 2 ? Math.floor((others - 1) / 2) : Math.round(((place - 1) / (count - 1)) * (others - 1));
}

function searchStudies(dataSource, { patientId }) {
  return dataSource.query.studies.search({ patientId, disableWildcard: true });
}

/** SOP Instance UIDs (0008,0018) in the order of their Instance Numbers (0020,0013). */
async function listInstances(authorize, study, series) {
  const path = `/dicom-web/studies/${study}/series/${series}/instances`;
  const headers = { accept: 'application/dicom+json', ...authorize() };
  const response = await fetch(path, { headers, credentials: 'same-origin' });
  if (!response.ok)
    throw new NoPrior(`The archive did not list the earlier series (status ${response.status}).`);
  const found = response.status === 204 ? [] : await response.json();
  const number = one => Number(one['00200013']?.Value?.[0] ?? 0);
  return found.sort((one, other) => number(one) - number(other)).map(one => one['00080018'].Value[0]);
}
