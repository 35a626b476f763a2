// Where the machine's picture is shown; picture.js draws it.

import { texts } from "../../texts/en.js";
import { h, keyed, setHidden, setText } from "../dom.js";
import { mountPicture } from "../picture.js";
import { machineKey } from "../state.js";

const t = texts.picture;

export function pictureCard({ store, key }) {
  const { host } = machineKey(key);
  const select = h("select", { class: "input", aria: { label: t.camera }, onchange: () => mount(select.value) });
  const place = h("div", {});
  const element = h("section", { class: "card picture", id: "picture", aria: { label: t.title }, hidden: true }, select, place);
  let shown = "";
  let picture = null;

  function mount(camera) {
    picture?.unmount();
    shown = camera;
    const name = nameOf(store.state.cameras.get(`${host}\n${camera}`));
    const token = new URLSearchParams(location.search).get("token") ?? "";
    picture = mountPicture(place, { host, camera, name, token });
  }

  function update(_machine, state) {
    const cameras = [...state.cameras.values()].filter((camera) => camera.key.host === host && (camera.view?.isAllowed ?? true));
    keyed(select, cameras, (camera) => camera.key.cameraId, () => {
      const option = h("option", {});
      option.update = (camera) => {
        option.value = camera.key.cameraId;
        setText(option, nameOf(camera));
      };
      return option;
    });
    setHidden(element, !cameras.length);
    setHidden(select, cameras.length < 2);
    const isThere = cameras.some((camera) => camera.key.cameraId === shown);
    if (isThere) select.value = shown;
    else if (cameras.length) mount(cameras[0].key.cameraId);
    else end();
  }

  function end() {
    picture?.unmount();
    picture = null;
    shown = "";
  }

  return { element, update, end };
}

function nameOf(camera) {
  return camera?.camera?.description || camera?.key?.cameraId || "";
}
