/** What the reader sees: which frame stands in the active viewport, in which window. */

import { tellWindow, toWindow } from './window.mjs';

const FRAME = /\/studies\/([\d.]+)\/series\/([\d.]+)\/instances\/([\d.]+)\/frames\/(\d+)/;

/**
 * What the active viewport shows: `study`, `series`, `instance` and `frame` (from 1), `place` and `count` in the stack,
 * `modality`, `patientId`, `date`; `window` and `windowWords`, as the viewer writes it, or `noWindow`, why there is none;
 * `inverted` against the usual; `instances`, the viewer's own headers of the stack.
 * `reason` says why there is no frame to ask about. Null while the viewer shows nothing.
 */
export function readShown({ viewportGridService, displaySetService, cornerstoneViewportService }) {
  const { activeViewportId, viewports } = viewportGridService.getState();
  const uid = viewports.get(activeViewportId)?.displaySetInstanceUIDs?.[0];
  const displaySet = uid && displaySetService.getDisplaySetByUID(uid);
  if (!displaySet) return null;
  const viewport = cornerstoneViewportService.getCornerstoneViewport(activeViewportId);
  const shown = findShown(displaySetService, viewport) ?? displaySet;
  return { viewportId: activeViewportId, viewport, ...describe(shown), ...locate(viewport, shown) };
}

/** The display set of the frame: of a segmentation that is laid over images it is theirs. */
function findShown(displaySetService, viewport) {
  const [, , series, instance] = FRAME.exec(viewport?.getCurrentImageId?.() ?? '') ?? [];
  const isThere = one => one.SOPInstanceUID === instance;
  const holds = one => one.SeriesInstanceUID === series && one.instances?.some(isThere);
  return series && displaySetService.getActiveDisplaySets().find(holds);
}

/** A copy of what the reader sees, as a canvas, or null; the window stands in words in `shown`. */
export function takeSnapshot({ viewport }) {
  const canvas = viewport?.canvas;
  if (!canvas?.width) return null;
  const side = Math.min(canvas.width, canvas.height);
  const copy = document.createElement('canvas');
  copy.width = copy.height = Math.min(side, 512);
  const [left, top] = [(canvas.width - side) / 2, (canvas.height - side) / 2];
  const brush = copy.getContext('2d');
  brush.imageSmoothingQuality = 'high';
  brush.drawImage(canvas, left, top, side, side, 0, 0, copy.width, copy.height);
  return copy;
}

/** Where in the viewer's own stack a frame lies, as "slice 3 of 28"; empty if the viewer has no such stack. */
export function tellPlace({ displaySetService }, { series, instance, frame }) {
  const isThere = one => one.SOPInstanceUID === instance;
  const stacks = displaySetService.getActiveDisplaySets().filter(one => one.SeriesInstanceUID === series);
  const instances = stacks.find(one => one.instances?.some(isThere))?.instances;
  if (!instances) return '';
  const frames = Number(instances.find(isThere).NumberOfFrames ?? 1);
  if (frames > 1) return `frame ${frame} of ${frames}`;
  if (instances.length === 1) return '';
  return `${unitOf(instances[0].Modality)} ${instances.findIndex(isThere) + 1} of ${instances.length}`;
}

/** In a line: "CT · slice 12 of 28 · W 100 · L 35". */
export function tellShown(shown) {
  const what = shown.modality || 'Image';
  if (shown.reason) return `${what} · ${shown.reason}`;
  const unit = shown.frames > 1 ? 'frame' : unitOf(shown.modality);
  const place = shown.count > 1 ? `${unit} ${shown.place} of ${shown.count}` : '1 image';
  return [what, place, shown.window ? shown.windowWords : shown.noWindow].join(' · ');
}

/** Of which series and day it is, as far as the archive says: "AX 5 mm · 2024-05-06". */
export function tellSeries({ description, date }) {
  const day = /^\d{8}$/.test(date) ? `${date.slice(0, 4)}-${date.slice(4, 6)}-${date.slice(6)}` : '';
  return [description, day].filter(Boolean).join(' · ');
}

/** The reader's own window and place: "W 100 · L 35 · slice 12 of 28". */
export function tellView({ windowWords, noWindow, modality, frames, frame, place, count }) {
  const window = windowWords ?? noWindow;
  if (!count) return window ?? '';
  if (frames > 1) return `${window} · frame ${frame} of ${frames}`;
  return count > 1 ? `${window} · ${unitOf(modality)} ${place} of ${count}` : window;
}

/** What an image of a stack is called: a slice, where the modality cuts. */
export function unitOf(modality) {
  return ['CT', 'MR', 'PT', 'NM'].includes(modality) ? 'slice' : 'image';
}

function describe(displaySet) {
  const header = displaySet.instance ?? displaySet.instances?.[0] ?? {};
  return {
    study: displaySet.StudyInstanceUID,
    series: displaySet.SeriesInstanceUID,
    modality: displaySet.Modality,
    patientId: header.PatientID ?? '',
    date: header.StudyDate ?? '',
    description: displaySet.SeriesDescription ?? '',
    instances: displaySet.instances ?? [],
  };
}

function locate(viewport, displaySet) {
  if (!viewport?.getCurrentImageId) return { reason: 'this view shows no image' };
  const imageId = viewport.getCurrentImageId();
  const found = FRAME.exec(imageId ?? '');
  if (!found)
    return { reason: imageId ? 'the image is not from the archive' : 'a reconstruction, not a stored frame' };
  const [, study, series, instance, frame] = found;
  const count = viewport.getImageIds?.().length ?? displaySet.numImageFrames ?? 1;
  const frames = Number(
    displaySet.instances?.find(one => one.SOPInstanceUID === instance)?.NumberOfFrames ?? 1,
  );
  const place = (viewport.getCurrentImageIdIndex?.() ?? 0) + 1;
  return {
    study,
    series,
    instance,
    frame: Number(frame),
    frames,
    place,
    count,
    ...readWindow(viewport, displaySet),
  };
}

function readWindow(viewport, displaySet) {
  const image = viewport.getCornerstoneImage?.();
  if (image?.color) return { window: null, noWindow: 'in colour, without a window', inverted: false };
  const { voiRange, VOILUTFunction, invert } = viewport.getProperties();
  const range = voiRange ?? shownRange(viewport);
  const header = displaySet.instance ?? displaySet.instances?.[0];
  const inverted = Boolean(invert) !== (header?.PhotometricInterpretation === 'MONOCHROME1');
  if (!range) return { window: null, noWindow: 'its window is not known yet', inverted };
  const scale = readScale(image);
  const stored = { lower: range.lower / scale.factor, upper: range.upper / scale.factor };
  const window = toWindow(stored, VOILUTFunction);
  const windowWords = `${tellWindow(toWindow(range))} ${scale.units}`.trim();
  return { window, windowWords, noWindow: null, inverted };
}

/** Before a reader touches the window, the viewer may not say which one it chose; its transfer function knows. */
function shownRange(viewport) {
  const [lower, upper] =
    viewport.getDefaultActor?.()?.actor?.getProperty?.()?.getRGBTransferFunction?.(0)?.getRange?.() ?? [];
  return lower < upper ? { lower, upper } : null;
}

/** The viewer shows PET in SUV, and doses as such; windows of the gateway are over the stored values, rescaled. */
function readScale(image) {
  const { suvbw, doseGridScaling } = (image?.preScale?.scaled && image.preScale.scalingParameters) || {};
  if (suvbw) return { factor: suvbw, units: 'SUV' };
  return doseGridScaling ? { factor: doseGridScaling, units: '' } : { factor: 1, units: '' };
}
