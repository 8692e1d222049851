/** On the way to a web UI that has a host name of its own: whoever is signed in here is let in there. */
import { errorLine } from '../access/error-text.ts';
import { h } from '../look/element.ts';
import type { Visit } from './visit.ts';

/** `query` is what the edge put into the address; it decides itself where that may lead. */
export async function enterWebUi(visit: Visit, query: URLSearchParams): Promise<void> {
  try {
    const { location } = await visit.api.webUiCode(query.get('to') ?? '', query.get('challenge') ?? '');
    // Not to come back here by the button for it.
    globalThis.location.replace(location);
  } catch (error) {
    visit.show(
      'Web UI',
      h(
        'section',
        { class: 'single' },
        h(
          'div',
          { class: 'card-panel stack', 'data-testid': 'enter-problem' },
          h('h1', {}, 'This web UI cannot be opened'),
          h('p', { class: 'notice', role: 'alert' }, errorLine(error)),
          h('p', {}, h('a', { href: '/_direct/' }, 'Go to the dashboard')),
        ),
      ),
    );
  }
}
