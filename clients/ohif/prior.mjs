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
  const listed = await listInstances(authorize, study.studyInstanceUid, series.seriesInstanceUid);
  const instances = shown.instances.length ? sortLike(shown.instances.map(readPlace), listed) : listed;
  if (!instances.length) throw new NoPrior('The earlier series has no images.');
  const index = matchPlace(shown.place, shown.count, instances.length);
  return {
    study: study.studyInstanceUid,
    series: series.seriesInstanceUid,
    instance: instances[index].uid,
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

function readPlace(one) {
  const list = value => (value?.length ? Array.from(value, Number) : null);
  return {
    uid: one.SOPInstanceUID,
    number: Number(one.InstanceNumber ?? 0),
    position: list(one.ImagePositionPatient),
    orientation: list(one.ImageOrientationPatient),
  };
}

/** The instances of a series: {uid, number, position, orientation}, from its metadata (PS3.18 10.4.1.1.2). */
async function listInstances(authorize, study, series) {
  const path = `/dicom-web/studies/${study}/series/${series}/metadata`;
  const headers = { accept: 'application/dicom+json', ...authorize() };
  const response = await fetch(path, { headers, credentials: 'same-origin' });
  if (!response.ok)
    throw new NoPrior(`The archive did not list the earlier series (status ${response.status}).`);
  const found = response.status === 204 ? [] : await response.json();
  return found.map(one => ({
    uid: one['00080018'].Value[0],
    number: Number(one['00200013']?.Value?.[0] ?? 0),
    position: one['00200032']?.Value ?? null,
    orientation: one['00200037']?.Value ?? null,
  }));
}

/**
 * A series in the order in which the viewer has `stack`, another one, from one end of the body to the other: by position
 * along the stack's normal, or by number where positions are missing. The viewer may run against the numbers.
 */
export function sortLike(stack, instances) {
  const normal = stack[0]?.orientation && cross(stack[0].orientation);
  const isPlaced = Boolean(normal) && [...stack, ...instances].every(one => one.position?.length === 3);
  const depth = one => (isPlaced ? dot(one.position, normal) : one.number);
  const way = depth(stack.at(-1)) < depth(stack[0]) ? -1 : 1;
  return [...instances].sort((one, other) => way * (depth(one) - depth(other)));
}

function cross([a, b, c, d, e, f]) {
  return [b * f - c * e, c * d - a * f, a * e - b * d];
}

function dot(one, other) {
  return one.reduce((sum, value, index) => sum + value * other[index], 0);
}
