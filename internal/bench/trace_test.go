// SPDX-License-Identifier: Apache-2.0

package bench

// traceStats is what there is to a processor's buffer.
const traceStats = "entries: 5\noverrun: 0\ncommit overrun: 0\n"

// apartTrace is what the guest's kernel said of calls of pingpong -p 0,1.
const apartTrace = `   13.395829 |   pingpon-195   | + 70.313 us   |      vb_spin [virtbinder]();
   13.395908 |   pingpon-194   | # 1771.285 us |  } /* vb_ioctl [virtbinder] */
   13.396002 |   pingpon-194   |               |  vb_ioctl [virtbinder]() {
   13.396040 |   pingpon-194   |   5.831 us    |    vb_report_cap [virtbinder]();
   13.396070 |   pingpon-194   | # 1298.657 us |    vp_notify();
   13.397417 |   pingpon-194   |               |    vb_req_wait [virtbinder]() {
   13.397424 |   pingpon-194   | + 27.181 us   |      vb_spin [virtbinder]();
   13.397849 |   pingpon-195   | # 2017.894 us |    } /* vb_req_wait [virtbinder] */
   13.397903 |   pingpon-195   | # 2239.406 us |  } /* vb_ioctl [virtbinder] */
   13.397943 |   pingpon-195   |               |  vb_ioctl [virtbinder]() {
   13.398015 |   pingpon-195   |   6.262 us    |    vb_report_cap [virtbinder]();
   13.398046 |   pingpon-195   | ! 319.077 us  |    vp_notify();
   13.398401 |   pingpon-195   |   6.081 us    |    vb_req_wait [virtbinder]();
   13.398432 |   pingpon-195   | ! 493.217 us  |  } /* vb_ioctl [virtbinder] */
   13.398455 |   pingpon-195   |               |  vb_ioctl [virtbinder]() {
   13.398481 |   pingpon-195   | ! 117.514 us  |    vp_notify();
   13.398617 |   pingpon-195   |               |    vb_req_wait [virtbinder]() {
   13.398620 |   pingpon-195   | + 14.878 us   |      vb_spin [virtbinder]();
   13.398637 |   pingpon-194   | # 1218.044 us |    } /* vb_req_wait [virtbinder] */
   13.398676 |   pingpon-194   | # 2726.710 us |  } /* vb_ioctl [virtbinder] */
   13.398727 |   pingpon-194   |               |  vb_ioctl [virtbinder]() {
   13.398762 |   pingpon-194   |   6.312 us    |    vb_report_cap [virtbinder]();
   13.398790 |   pingpon-194   | ! 471.006 us  |    vp_notify();
   13.399301 |   pingpon-194   |               |    vb_req_wait [virtbinder]() {
   13.399307 |   pingpon-194   | + 46.498 us   |      vb_spin [virtbinder]();
   13.399420 |   pingpon-195   | ! 800.341 us  |    } /* vb_req_wait [virtbinder] */
   13.399465 |   pingpon-195   | # 1009.869 us |  } /* vb_ioctl [virtbinder] */
   13.399497 |   pingpon-195   |               |  vb_ioctl [virtbinder]() {
   13.399515 |   pingpon-195   |   4.037 us    |    vb_report_cap [virtbinder]();
   13.399537 |   pingpon-195   | # 1102.235 us |    vp_notify();
   13.400676 |   pingpon-195   |   6.934 us    |    vb_req_wait [virtbinder]();
   13.400713 |   pingpon-195   | # 1218.225 us |  } /* vb_ioctl [virtbinder] */
   13.400739 |   pingpon-195   |               |  vb_ioctl [virtbinder]() {
   13.400768 |   pingpon-195   | ! 524.987 us  |    vp_notify();
   13.401322 |   pingpon-195   |               |    vb_req_wait [virtbinder]() {
   13.401326 |   pingpon-195   | + 24.957 us   |      vb_spin [virtbinder]();
   13.401349 |   pingpon-194   | # 2042.922 us |    } /* vb_req_wait [virtbinder] */
   13.401396 |   pingpon-194   | # 2672.638 us |  } /* vb_ioctl [virtbinder] */
   13.401458 |   pingpon-194   |               |  vb_ioctl [virtbinder]() {
   13.401496 |   pingpon-194   |   7.004 us    |    vb_report_cap [virtbinder]();
   13.401533 |   pingpon-194   | ! 360.625 us  |    vp_notify();
   13.401935 |   pingpon-194   |               |    vb_req_wait [virtbinder]() {
   13.401941 |   pingpon-194   | + 87.297 us   |      vb_spin [virtbinder]();
   13.402411 |   pingpon-195   | ! 807.875 us  |    } /* vb_req_wait [virtbinder] */
   13.402475 |   pingpon-195   | # 1736.509 us |  } /* vb_ioctl [virtbinder] */
   13.402513 |   pingpon-195   |               |  vb_ioctl [virtbinder]() {
   13.402534 |   pingpon-195   |   4.438 us    |    vb_report_cap [virtbinder]();
   13.402559 |   pingpon-195   | ! 352.780 us  |    vp_notify();
   13.402949 |   pingpon-195   |   6.191 us    |    vb_req_wait [virtbinder]();
   13.403031 |   pingpon-195   | ! 523.675 us  |  } /* vb_ioctl [virtbinder] */
   13.403056 |   pingpon-195   |               |  vb_ioctl [virtbinder]() {
   13.403082 |   pingpon-195   | ! 133.874 us  |    vp_notify();
   13.403239 |   pingpon-195   |               |    vb_req_wait [virtbinder]() {
   13.403243 |   pingpon-195   | + 44.625 us   |      vb_spin [virtbinder]();
   13.403256 |   pingpon-194   | # 1318.175 us |    } /* vb_req_wait [virtbinder] */
   13.403299 |   pingpon-194   | # 1846.969 us |  } /* vb_ioctl [virtbinder] */
`
