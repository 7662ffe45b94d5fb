// What the contract suites want of `aegir/chai`: promises, and assertions such as `.true` that may also be called.

import { expect, use, util } from 'chai';
import promises from 'chai-as-promised';

use(promises);
use(({ Assertion }) => {
  for (const name of ['true', 'false', 'ok']) {
    const { get } = Object.getOwnPropertyDescriptor(Assertion.prototype, name);
    const check = function () {
      get.call(this);
    };
    util.addChainableMethod(Assertion.prototype, name, check, function () {});
  }
});

export { expect };
