/** Makes nodes of HTML that a model may have meant to be dangerous. */
import purifier from 'dompurify';

/** What Markdown makes, and nothing with a behaviour of its own: no forms, frames, media, styles or other namespaces. */
const TAGS = [
  ...['p', 'br', 'hr', 'h3', 'h4', 'h5', 'h6', 'blockquote', 'pre', 'code', 'ul', 'ol', 'li'],
  ...['table', 'thead', 'tbody', 'tr', 'th', 'td', 'a', 'img'],
  ...['b', 'del', 'em', 'i', 'ins', 'kbd', 'mark', 's', 'small', 'strong', 'sub', 'sup', 'u'],
];

/** Neither `id` nor `name`, which would hide properties of `document` and `window` from our own scripts. */
const ATTRIBUTES = ['href', 'src', 'alt', 'title', 'start', 'align', 'class'];

/** Ours: the language of code, which fences name, and items of task lists. */
const CLASS = /^(?:language-[^\s<>"'&]{1,40}|task)$/;

/** Where a click may lead: never to our own origin by a relative address, nor into a program by a scheme of its own. */
const LINK = /^(?:https?:\/\/|mailto:)/i;

/** Of the kinds that browsers decode without running anything or asking for anything. */
const RASTER_IMAGE = /^data:image\/(?:avif|bmp|gif|jpeg|png|webp);base64,[\w+/=\s]+$/i;

const XHTML = 'http://www.w3.org/1999/xhtml';

/** What an attribute may say, where the schemes of links are not all there is to know. */
const VALUES: Readonly<Record<string, RegExp>> = { class: CLASS, src: RASTER_IMAGE, start: /^\d{1,9}$/ };

purifier.addHook('uponSanitizeAttribute', (_element, event) => {
  if (VALUES[event.attrName]?.test(event.attrValue) === false) event.keepAttr = false;
});

/** The nodes belong to a document that loads and runs nothing; there is no way back through text. */
export function sanitise(html: string): DocumentFragment {
  return purifier.sanitize(html, {
    ALLOWED_TAGS: TAGS,
    ALLOWED_ATTR: ATTRIBUTES,
    ALLOWED_NAMESPACES: [XHTML],
    ALLOWED_URI_REGEXP: LINK,
    ADD_URI_SAFE_ATTR: ['start', 'align'],
    ALLOW_ARIA_ATTR: false,
    ALLOW_DATA_ATTR: false,
    RETURN_DOM_FRAGMENT: true,
  });
}
