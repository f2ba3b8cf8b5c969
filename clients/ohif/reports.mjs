/** Makes the viewer show reports that were filed after the study was opened. */

/**
 * Let the viewer take in a new series; gives the id of its display set, or null if the viewer made none of it.
 */
export async function takeInSeries({ dataSource, displaySetService }, study, series) {
  const find = () => displaySetService.getActiveDisplaySets().find(one => one.SeriesInstanceUID === series);
  if (!find()) {
    forget(dataSource, study);
    await dataSource.retrieve.series.metadata({
      StudyInstanceUID: study,
      filters: { seriesInstanceUID: [series] },
    });
    forget(dataSource, study);
  }
  return find()?.displaySetInstanceUID ?? null;
}

/** The viewer keeps what it read of a study for good, under this key; the UID alone is what its own words promise. */
function forget(dataSource, study) {
  for (const key of [study, `${dataSource.getConfig().name}:${study}`])
    dataSource.deleteStudyMetadataPromise(key);
}

/** Show a display set in the active viewport. */
export function show({ viewportGridService }, displaySetInstanceUID) {
  const { activeViewportId } = viewportGridService.getState();
  viewportGridService.setDisplaySetsForViewports([
    { viewportId: activeViewportId, displaySetInstanceUIDs: [displaySetInstanceUID] },
  ]);
}
