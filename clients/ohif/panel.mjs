/**
 * The radserve panel of the OHIF viewer (3.13): ask about the image in front of you. Plain modules, nothing to compile.
 *
 * app-config.js names this file in `extensions`, and `radserve.panelModule.ask` among the panels of a mode.
 */

import { AskPanel } from './ask_panel.mjs';

let panel = null;

// The viewer does not share its React, so the component is the element that React would make: a div, whose ref gets the
// DOM node when it is there, and null when it is gone.
const HOST = {
  $$typeof: Symbol.for('react.element'),
  type: 'div',
  key: null,
  ref: node => (node ? panel.mount(node) : panel.unmount()),
  props: { className: 'radserve-host' },
  _owner: null,
};

export default {
  id: 'radserve',
  getPanelModule({ servicesManager, extensionManager }) {
    panel = new AskPanel(servicesManager.services, extensionManager);
    return [{ name: 'ask', iconName: 'launch-info', iconLabel: 'Ask', label: 'Ask', component: () => HOST }];
  },
  onModeExit: () => panel?.forget(),
};
