/** Questions that are asked often, by modality (0008,0060). */

const XRAY = [
  'Is there a fracture?',
  'Is the heart enlarged?',
  'Is there a pleural effusion?',
  'Which part of the body is shown?',
];
const BY_MODALITY = {
  CT: ['Is there a bleed?', 'Is there a mass?', 'Which organ is shown?', 'In what plane is this image?'],
  MR: [
    'Is there a lesion?',
    'Which MR weighting is this?',
    'In what plane is this image?',
    'Is the midline shifted?',
  ],
  CR: XRAY,
  DX: XRAY,
  MG: ['Is there a mass?', 'Are there calcifications?', 'How dense is the breast?', 'Which view is this?'],
  US: ['Which organ is shown?', 'Is there free fluid?', 'Is there a cyst?', 'Is there a stone?'],
};
const OTHER = [
  'What modality is this image?',
  'Which part of the body is shown?',
  'Is there anything abnormal?',
];

/** Up to four questions. */
export function suggest(modality) {
  return BY_MODALITY[modality] ?? OTHER;
}
